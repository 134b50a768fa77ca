package http1

import (
	"net/http"

	"github.com/usher-ingress/usher/pkg/field"
)

// Check tells what keeps a request that came by another version of HTTP from
// meaning the same in an HTTP/1.1 request line and Host field (see
// [field.Check]). It has the reasons of a [Server]. An Expect that is still
// there is one that the other version's engine does not know.
func Check(r *http.Request) *ProtocolError {
	if err := field.Check(r.Method, r.Host, r.RequestURI); err != nil {
		return err
	}
	if r.Header["Expect"] != nil {
		return refusal(417, "expectation", "Expect: %.40q", r.Header["Expect"])
	}
	return nil
}

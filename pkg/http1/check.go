package http1

import "net/http"

// Check tells what keeps a request that came by another version of HTTP from
// meaning the same in an HTTP/1.1 request line and Host field: a method or a
// target that is more than one word, a host that is none. It has the reasons
// of a [Server]. Bytes above 0x7f may stand in the target, other than there. An Expect that
// is still there is one that the other version's engine does not know.
func Check(r *http.Request) *ProtocolError {
	if !isToken(r.Method) {
		return malformed("bad-method", "the method %.40q is not a token", r.Method)
	}
	if err := checkMethod(r.Method); err != nil {
		return err
	}
	switch {
	case r.Host == "":
		return malformed("no-host", "the request names no host")
	case !validHost(r.Host):
		return malformed("bad-host", "the host %.80q", r.Host)
	case r.Header["Expect"] != nil:
		return refusal(417, "expectation", "Expect: %.40q", r.Header["Expect"])
	case r.RequestURI == "*" && r.Method == http.MethodOptions:
		return nil
	case r.RequestURI == "" || r.RequestURI[0] != '/':
		return malformed("bad-target", "the target %.80q is not a path", r.RequestURI)
	}
	for i := 0; i < len(r.RequestURI); i++ {
		if c := r.RequestURI[i]; class[c]&targetChar == 0 && c < 0x80 {
			return malformed("bad-target", "byte %q in the request target %.80q", c, r.RequestURI)
		}
	}
	return nil
}

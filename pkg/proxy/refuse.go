package proxy

import (
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
)

// Refuse makes the answer to what a server did not accept as a request, and logs it: the same page, fields and record as for a request
// that was looked at. Of r only RemoteAddr need be there. It sets fields of answer and returns its body; detail says what is wrong.
func (p *Proxy) Refuse(answer http.Header, r *http.Request, status int, detail string) []byte {
	random := newIDs()
	record := Record{
		Time: time.Now(), Request: r, Method: r.Method, Proto: r.Proto, Scheme: "http", Host: decide.NormalHost(r.Host), Target: decide.TargetOf(r.RequestURI),
		Client: addressOf(r.RemoteAddr), ID: random.next(), Status: status, Reason: policy.BadRequest, Error: detail,
	}
	if r.TLS != nil {
		record.Scheme = "https"
	}
	page := Page{Status: status, Text: detail, ID: record.ID}
	if !p.hide {
		answer["X-Usher-Reason"] = []string{string(record.Reason)}
		page.Reason = string(record.Reason)
	}
	body := page.Render(first(r.Header["Accept"]), answer)
	record.Sent = int64(len(body))
	if p.log != nil {
		p.log.Log(&record)
	}
	return body
}

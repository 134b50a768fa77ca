package proxy

import (
	"net/http"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
)

// Redirector is the http.Handler of a port whose requests are all redirected to HTTPS: that of a load balancer that ends TLS and has
// one port for each scheme. It looks at no route.
func (p *Proxy) Redirector() http.Handler { return redirector{p} }

type redirector struct{ proxy *Proxy }

func (d redirector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, random := d.proxy, newIDs()
	record := Record{
		Time: time.Now(), Request: r, Method: r.Method, Proto: r.Proto, Scheme: "http", Host: decide.NormalHost(r.Host), Target: decide.Encoded(decide.TargetOf(r.RequestURI)),
		Client: addressOf(r.RemoteAddr), ID: random.next(), Status: http.StatusPermanentRedirect, Reason: policy.HTTPSRedirect,
	}
	switch {
	case record.Host == "": // of HTTP/1.0
		record.Status, record.Reason, record.Error = http.StatusBadRequest, policy.BadRequest, "the request names no host"
	case record.Target == "*":
		w.Header()["Location"] = []string{"https://" + record.Host + "/"}
	default:
		w.Header()["Location"] = []string{"https://" + record.Host + record.Target}
	}
	if !p.hide {
		w.Header()["X-Usher-Reason"] = []string{string(record.Reason)}
	}
	w.Header()["Content-Length"] = []string{"0"}
	w.WriteHeader(record.Status)
	record.Duration = time.Since(record.Time)
	p.observer.Done(&record)
	if p.log != nil {
		p.log.Log(&record)
	}
}

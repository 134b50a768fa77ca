package proxy_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/usher-ingress/usher/pkg/proxy"
)

// TestRefusedRequests: what is no request gets the page, the field and the record that every other answer of Usher has.
func TestRefusedRequests(t *testing.T) {
	r := newRig(t, nil)
	log := &recorder{}
	p := proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, Log: log})
	bare := &http.Request{RemoteAddr: "192.0.2.7:1234"}
	known := &http.Request{RemoteAddr: "192.0.2.7:1234", Method: "GET", RequestURI: "/a", Host: "App.test", Header: http.Header{"Accept": {"application/json"}}}
	h := http.Header{}
	wants(t, string(p.Refuse(h, bare, 400, "no <Host> field")), "400 Bad Request", "no &lt;Host&gt; field", "<code>bad-request</code>", "Request: ")
	wants(t, string(p.Refuse(h, known, 408, "the head took too long")), `"status":408`, `"reason":"bad-request"`, `"requestId":"`)
	if h.Get("X-Usher-Reason") != "bad-request" || h.Get("Content-Type") != "application/json" {
		t.Error(h)
	}
	if len(log.records) != 2 {
		t.Fatalf("%d records", len(log.records))
	}
	if got := log.records[0]; got.Status != 400 || got.Error != "no <Host> field" || got.Client != "192.0.2.7" || got.Reason != "bad-request" || got.ID == "" {
		t.Errorf("%+v", got)
	}
	if got := log.records[1]; got.Host != "app.test" || got.Target != "/a" || got.Method != "GET" || got.Sent == 0 {
		t.Errorf("%+v", got)
	}
	for _, format := range []proxy.Format{proxy.JSON, proxy.Nginx} {
		lined := proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, Log: proxy.NewLineLog(io.Discard, format)})
		lined.Refuse(h, bare, 400, "no Host field")
	}
	h = http.Header{}
	hidden := proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, HideReason: true})
	lacks(t, string(hidden.Refuse(h, bare, 400, "no Host field")), "bad-request")
	if h.Get("X-Usher-Reason") != "" {
		t.Error(h)
	}
}

package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

// last keeps the last record.
type last struct {
	nobody
	status int
	reason policy.Reason
}

func (l *last) Done(r *Record) { l.status, l.reason = r.Status, r.Reason }

func TestRedirector(t *testing.T) {
	for _, c := range []struct {
		host, target, location string
		status                 int
	}{
		{"Shop.Example:8080", "/a//b%2F?q=1", "https://shop.example/a//b%2F?q=1", 308},
		{"[2001:db8::1]:2443", "/", "https://[2001:db8::1]/", 308},
		{"shop.example", "http://shop.example/absolute", "https://shop.example/absolute", 308},
		{"shop.example", "/caf\xc3\xa9", "https://shop.example/caf%C3%A9", 308},
		{"shop.example", "*", "https://shop.example/", 308},
		{"", "/", "", 400},
	} {
		seen := &last{}
		p := New(Options{Observer: seen})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.RequestURI = c.host, c.target
		w := httptest.NewRecorder()
		p.Redirector().ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Location") != c.location || seen.status != c.status {
			t.Errorf("%s%s: %d to %q, observed %d, want %d to %q", c.host, c.target, w.Code, w.Header().Get("Location"), seen.status, c.status, c.location)
		}
	}
}

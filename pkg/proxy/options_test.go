package proxy_test

import (
	"fmt"
	"net/http"
	"testing"
)

func TestOptions(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, %q hops", r.RequestURI, r.Header.Get("Max-Forwards"))
	})}))
	const itself = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	for _, c := range []struct{ method, target, hops, allow, body string }{
		{"OPTIONS", "/a", "", "", `/a, "" hops`},
		{"OPTIONS", "*", "", itself, ""},
		{"OPTIONS", "*", "7", itself, ""},
		{"OPTIONS", "http://app.test", "", itself, ""},
		{"OPTIONS", "/a", "0", itself, ""},
		{"OPTIONS", "/a", "10", "", `/a, "9" hops`},
		{"OPTIONS", "/a", "many", "", `/a, "many" hops`},
		{"GET", "/a", "0", "", `/a, "0" hops`},
	} {
		head := c.method + " " + c.target + " HTTP/1.1\r\nHost: app.test\r\n"
		if c.hops != "" {
			head += "Max-Forwards: " + c.hops + "\r\n"
		}
		res, body := r.send(head + "\r\n")
		if res.StatusCode != 200 || body != c.body || res.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s, Max-Forwards %q: %s, Allow %q, %q", c.method, c.target, c.hops, res.Status, res.Header.Get("Allow"), body)
		}
	}
}

// TestBadPathsEndTheConnection: after a refusal nothing more is read.
func TestBadPathsEndTheConnection(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	for _, path := range []string{"/../a", "/%00", "/%2e%2e/a"} {
		res, _ := r.send("GET " + path + " HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if res.StatusCode != 400 || !res.Close {
			t.Errorf("%s: %s, closed %t", path, res.Status, res.Close)
		}
	}
}

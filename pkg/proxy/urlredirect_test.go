package proxy_test

import (
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

// TestURLRedirects: a redirect of the Ingress needs no endpoint; status codes that nginx gives no Location answer with the URL as text.
func TestURLRedirects(t *testing.T) {
	for _, c := range []struct {
		code                   int
		url, location, content string
	}{
		{301, "https://new.test/x", "https://new.test/x", ""},
		{308, "/local", "http://app.test/local", ""},
		{300, "https://new.test/x", "", "https://new.test/x"},
		{304, "https://new.test/x", "", ""},
	} {
		r := newRig(t, tableOf(nil, with(func(s *policy.Set) { s.URLRedirect.Permanent, s.URLRedirect.PermanentCode = c.url, c.code })))
		res, body := r.get("/a?b=c")
		status(t, res, c.code, policy.Redirected)
		if got := res.Header.Get("Location"); got != c.location {
			t.Errorf("%d: Location %q, want %q", c.code, got, c.location)
		}
		if c.location == "" && body != c.content {
			t.Errorf("%d: body %q, want %q", c.code, body, c.content)
		}
	}
}

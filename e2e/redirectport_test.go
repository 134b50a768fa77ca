//go:build e2e

package e2e

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRedirectPort: everything that comes to --http-redirect-port is redirected to HTTPS, and the log and the metrics say so.
func TestRedirectPort(t *testing.T) {
	s := folderScene(t)
	u := s.usher("--http-redirect-port", "2443")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, target string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+u.address+":2443"+target, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "Any.example:80"
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response
	}
	for method, target := range map[string]string{http.MethodGet: "/a?b=c", http.MethodPost: "/upload/", http.MethodOptions: "/.well-known/acme-challenge/x"} {
		response := ask(method, target)
		if got, want := response.Header.Get("Location"), "https://any.example"+target; response.StatusCode != http.StatusPermanentRedirect || got != want {
			t.Errorf("%s %s: %d to %q, want 308 to %s", method, target, response.StatusCode, got, want)
		}
		if got := response.Header.Get("X-Usher-Reason"); got != "https-redirect" {
			t.Errorf("reason %q", got)
		}
	}
	if response, err := client.Get("http://" + u.address + "/"); err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("the port for HTTP: %v, %v, want 404", response, err)
	}
	await(t, func() error {
		if !strings.Contains(u.process.Log(), `"status":308,"reason":"https-redirect"`) {
			return errors.New("the redirect is not in the access log")
		}
		return nil
	})
	u.awaitMetric(`usher_connections{listener="redirect",state="active"}`, 0)
}

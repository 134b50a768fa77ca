package pool

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkEncrypted is a request to an endpoint over TLS, by either version of HTTP. It counts what the endpoint allocates too.
func BenchmarkEncrypted(b *testing.B) {
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	backend.EnableHTTP2 = true
	backend.StartTLS()
	defer backend.Close()
	address := strings.TrimPrefix(backend.URL, "https://")
	p := New(Options{AllowLoopback: true})
	for name, protocol := range map[string]Protocol{"HTTP1": HTTP1TLS, "HTTP2": H2} {
		b.Run(name, func(b *testing.B) {
			e := p.Endpoint(Key{Address: address, Protocol: protocol})
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequest(http.MethodGet, backend.URL, http.NoBody)
				if err != nil {
					b.Fatal(err)
				}
				response, err := e.RoundTrip(r, &Call{})
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
}

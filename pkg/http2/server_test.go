package http2

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serve starts a server over TLS and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	config := certs.TLS.Clone()
	certs.Close()
	config.NextProtos = []string{"h2"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				c := tls.Server(nc, config)
				if c.Handshake() != nil {
					nc.Close()
					return
				}
				s.ServeConn(c)
			}()
		}
	}()
	return l.Addr().String()
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestStandardClient(t *testing.T) {
	address := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Method", r.Method)
		_, _ = io.WriteString(w, r.RequestURI+" "+string(b))
	})})
	c := client(t)
	resp, err := c.Get("https://" + address + "/a?b")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "/a?b " || resp.ProtoMajor != 2 || resp.ContentLength != 5 {
		t.Errorf("got %q, %v, %v", body, err, resp)
	}
}

// Program engine is Usher's listeners and HTTP/1.1 engine with nothing between them: no table, no policies, no metrics, no log. Beside it
// in the bench one sees what all of that adds (-proxies nginx,engine,usher).
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof" // on the admin address
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/server"
)

func main() {
	var (
		plain   = flag.String("http", "127.0.0.1:8080", "address for HTTP")
		secure  = flag.String("https", "127.0.0.1:8443", "address for HTTPS")
		admin   = flag.String("admin", "127.0.0.1:10254", "address of /debug/pprof")
		small   = flag.String("small", "", "backend of everything")
		other   = flag.String("go", "", "backend of /go/")
		cert    = flag.String("cert", "", "certificate, PEM")
		private = flag.String("key", "", "private key, PEM")
	)
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*cert, *private)
	if err == nil {
		go func() { fmt.Fprintln(os.Stderr, "engine:", http.ListenAndServe(*admin, nil)) }()
		err = serve(*plain, *secure, pair, &forwarder{small: transport(*small), other: transport(*other)})
	}
	fmt.Fprintln(os.Stderr, "engine:", err)
	os.Exit(1)
}

func serve(plain, secure string, pair tls.Certificate, handler http.Handler) error {
	s, err := server.New(server.Options{
		Plain: []string{plain}, Secure: []string{secure}, Handler: handler, Log: zap.NewNop(),
		TLS:    &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}},
		Limits: server.Limits{KeepAliveRequests: 100000000},
	})
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Serve()
}

func transport(addr string) *http1.Transport {
	return &http1.Transport{MaxIdle: 128, Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}}
}

// forwarder is the least a reverse proxy does.
type forwarder struct{ small, other *http1.Transport }

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := f.small
	if strings.HasPrefix(r.URL.Path, "/go/") {
		to = f.other
	}
	addHeaders(r)
	r.Close = false // the client's connection ends, not the upstream's
	if r.ContentLength == 0 {
		r.Body = nil // HTTP/2 always has one, which would be sent as chunks
	}
	response, err := to.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = response.Body.Close() }()
	header := w.Header()
	for name, values := range response.Header {
		header[name] = values
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		tunnel(w, response)
		return
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func tunnel(w http.ResponseWriter, response *http.Response) {
	upstream, ok := response.Body.(io.ReadWriteCloser)
	if !ok {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(response.StatusCode)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	_, _, _ = http1.Tunnel(conn, early, upstream, 0)
}

// addHeaders adds what the other proxies of the bench add. It takes one array for all values, since nobody else does either.
func addHeaders(r *http.Request) {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	scheme, port := "http", ""
	if r.TLS != nil {
		scheme = "https"
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, port, _ = net.SplitHostPort(addr.String())
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	v := []string{hex.EncodeToString(id[:]), client, r.Host, port, scheme}
	h := r.Header
	h["X-Request-Id"] = v[0:1:1]
	h["X-Real-Ip"] = v[1:2:2]
	h["X-Forwarded-For"] = v[1:2:2]
	h["X-Forwarded-Host"] = v[2:3:3]
	h["X-Forwarded-Port"] = v[3:4:4]
	h["X-Forwarded-Proto"] = v[4:5:5]
	h["X-Forwarded-Scheme"] = v[4:5:5]
	h["X-Scheme"] = v[4:5:5]
}

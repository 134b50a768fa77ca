// Program baseline is the proxy one gets from the standard library with care: net/http's Server and httputil.ReverseProxy over a tuned
// Transport. The bench runs it beside Usher to show what an HTTP/1.1 engine of our own is good for.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	var (
		plain   = flag.String("http", "127.0.0.1:8080", "address for HTTP")
		secure  = flag.String("https", "127.0.0.1:8443", "address for HTTPS")
		small   = flag.String("small", "", "backend of everything")
		other   = flag.String("go", "", "backend of /go/")
		cert    = flag.String("cert", "", "certificate, PEM")
		private = flag.String("key", "", "private key, PEM")
	)
	flag.Parse()
	server := &http.Server{Handler: proxy(*small, *other), IdleTimeout: 300 * time.Second, ReadHeaderTimeout: 60 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	failed := make(chan error, 2)
	go func() {
		listener, err := net.Listen("tcp", *plain)
		if err == nil {
			err = server.Serve(listener)
		}
		failed <- err
	}()
	go func() {
		listener, err := net.Listen("tcp", *secure)
		if err == nil {
			err = server.ServeTLS(listener, *cert, *private)
		}
		failed <- err
	}()
	fmt.Fprintln(os.Stderr, "baseline:", <-failed)
	os.Exit(1)
}

func proxy(small, other string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			addr := small
			if strings.HasPrefix(r.In.URL.Path, "/go/") {
				addr = other
			}
			r.SetURL(&url.URL{Scheme: "http", Host: addr})
			r.Out.Host = r.In.Host
			addHeaders(r)
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 256, MaxIdleConns: 1024, IdleConnTimeout: 300 * time.Second, DisableCompression: true,
			ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		},
		BufferPool: &buffers{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
}

// addHeaders adds what the other proxies of the bench add.
func addHeaders(r *httputil.ProxyRequest) {
	client, _, _ := net.SplitHostPort(r.In.RemoteAddr)
	scheme := "http"
	if r.In.TLS != nil {
		scheme = "https"
	}
	port := ""
	if addr, ok := r.In.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, port, _ = net.SplitHostPort(addr.String())
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	h := r.Out.Header
	h.Set("X-Request-Id", hex.EncodeToString(id[:]))
	h.Set("X-Real-Ip", client)
	h.Set("X-Forwarded-For", client)
	h.Set("X-Forwarded-Host", r.In.Host)
	h.Set("X-Forwarded-Port", port)
	h.Set("X-Forwarded-Proto", scheme)
	h.Set("X-Forwarded-Scheme", scheme)
	h.Set("X-Scheme", scheme)
}

// buffers lends the 32 KiB a body is copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }

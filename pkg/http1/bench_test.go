package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// small is what a typical client sends through a proxy.
const small = "GET /api/v1/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk/4.1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Request-Id: 0123456789abcdef\r\n\r\n"

// rawUpstream answers every request with one canned response, with as little
// work as possible and no allocation.
func rawUpstream(t testing.TB, response string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(c, []byte(response))
		}
	}()
	return l.Addr().String()
}

func answerAll(c net.Conn, response []byte) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

// proxyHandler is the least a proxy does.
func proxyHandler(tr *Transport) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := tr.RoundTripWith(r, nil)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = res.Body.Close() }()
		h := w.Header()
		for name, values := range res.Header {
			h[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})
}

const smallResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n"

func exchangeOnce(c net.Conn, br *bufio.Reader, request, scratch []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	_, err := br.Read(scratch)
	return err
}

func BenchmarkProxyGET(b *testing.B) {
	tr := &Transport{Dial: dialTo(rawUpstream(b, smallResponse))}
	front := serve(b, &Server{Handler: proxyHandler(tr), MaxRequests: -1})
	c, err := net.Dial("tcp", front)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	br := bufio.NewReader(c)
	scratch := make([]byte, 4096)
	request := []byte(small)
	b.ReportAllocs()
	for b.Loop() {
		if err := exchangeOnce(c, br, request, scratch); err != nil {
			b.Fatal(err)
		}
	}
}

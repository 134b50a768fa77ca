package http1

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small is what a typical client sends through a proxy.
const small = "GET /api/v1/items?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk/4.1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Request-Id: 0123456789abcdef\r\n\r\n"

const smallResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n"

// rawUpstream answers every read with one canned response, with as little
// work as possible and no allocation.
func rawUpstream(t testing.TB, response string) string {
	t.Helper()
	l := listen(t)
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

func exchangeOnce(c net.Conn, request, scratch []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	_, err := c.Read(scratch)
	return err
}

// userTime reports the CPU time of this process, all of it: client, proxy and
// upstream share it in these benchmarks.
func userTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}

func benchmarkExchange(b *testing.B, addr string, request string) {
	c := connect(b, addr)
	_ = c.SetDeadline(time.Time{})
	scratch := make([]byte, 64<<10)
	begun := userTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := exchangeOnce(c.Conn, []byte(request), scratch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(userTime(b)-begun)/float64(b.N), "user-ns/op")
}

// BenchmarkDirect is the client and the upstream without a proxy: what to
// take off the figures of the others.
func BenchmarkDirect(b *testing.B) {
	benchmarkExchange(b, rawUpstream(b, smallResponse), small)
}

func BenchmarkServed(b *testing.B) {
	text := []byte("hello world\n")
	benchmarkExchange(b, serve(b, &Server{MaxRequests: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(text)
	})}), small)
}

func BenchmarkProxied(b *testing.B) {
	tr := &Transport{Dial: dialTo(rawUpstream(b, smallResponse))}
	benchmarkExchange(b, serve(b, &Server{Handler: proxyHandler(tr), MaxRequests: -1}), small)
}

func BenchmarkProxiedPost(b *testing.B) {
	tr := &Transport{Dial: dialTo(rawUpstream(b, smallResponse))}
	benchmarkExchange(b, serve(b, &Server{Handler: proxyHandler(tr), MaxRequests: -1}),
		"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
}

// BenchmarkParseHead is a browser's request, head only.
func BenchmarkParseHead(b *testing.B) {
	head := "GET /shop/cart?item=42 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"130\"\r\n" +
		"sec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: session=" + strings.Repeat("0123456789abcdef", 16) + "\r\n\r\n"
	s := &Server{}
	s.prepare()
	x := takeExchange(&serverConn{server: s})
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		x.freshContext()
		x.req, x.head = *x.blank, requestHead{}
		if err := x.parseRequest(head); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDownload moves large bodies through a proxy; bytes per second, and
// the CPU time of the whole process.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	config := &tls.Config{Certificates: []tls.Certificate{certificate(b)}}
	content := make([]byte, 1<<20)
	back := serve(b, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		for range size / len(content) {
			_, _ = w.Write(content)
		}
	})})
	for _, secure := range []bool{false, true} {
		for _, path := range []string{"/length", "/chunked"} {
			b.Run(fmt.Sprintf("tls=%t%s", secure, path), func(b *testing.B) {
				tr := &Transport{Dial: dialTo(back)}
				front := serveMaybeTLS(b, &Server{Handler: proxyHandler(tr)}, secure, config)
				b.SetBytes(size)
				begun := userTime(b)
				for b.Loop() {
					download(b, front, path, secure)
				}
				b.ReportMetric(float64(userTime(b)-begun)/float64(b.N)/1e6, "user-ms/op")
			})
		}
	}
}

func download(b *testing.B, addr, path string, secure bool) {
	c, err := dialMaybeTLS(addr, secure)(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	conn := &client{b, c, newReader(c)}
	conn.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != 64<<20 || err != nil {
		b.Fatal(n, err)
	}
}

// canned is a connection that says the same text again and again: the cost of
// the engine without the kernel's.
type canned struct {
	scripted
	text string
	at   int
	left int // times
}

func (c *canned) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.text[c.at:])
	if c.at += n; c.at == len(c.text) {
		c.at = 0
		c.left--
	}
	return n, nil
}

func (c *canned) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkProxiedWithoutSockets is one request through server and transport
// with connections that cost nothing.
func BenchmarkProxiedWithoutSockets(b *testing.B) {
	tr := &Transport{Dial: func(context.Context) (net.Conn, error) {
		return &canned{text: smallResponse, left: 1 << 60}, nil
	}}
	s := &Server{Handler: proxyHandler(tr), MaxRequests: -1}
	b.ReportAllocs()
	b.ResetTimer()
	s.ServeConn(&canned{text: small, left: b.N})
}

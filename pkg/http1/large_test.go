package http1

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/sock"
)

// certificate makes a self-signed certificate for a TLS test.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsListener completes handshakes before it hands connections out.
type tlsListener struct {
	net.Listener
	config *tls.Config
}

func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := tls.Server(sock.Direct(c), l.config) // as package server does
	return t, t.Handshake()
}

// Large bodies in both directions, over every combination of plain and TLS,
// with every framing, arrive as they were sent.
func TestLargeBodies(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	const size = 3<<20 + 12345
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(mrand.Uint32())
	}
	sum := strconv.Itoa(int(crc32.ChecksumIEEE(content)))
	back := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := crc32.NewIEEE()
		_, err := io.Copy(h, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(h.Sum32(), err))
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(size))
		case "/close":
			w.Header().Set("Connection", "close")
		}
		_, _ = w.Write(content)
	})}
	for _, frontTLS := range []bool{false, true} {
		for _, backTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("client tls %t upstream tls %t", frontTLS, backTLS), func(t *testing.T) {
				backAddr := serveMaybeTLS(t, back, backTLS, config)
				tr := &Transport{Dial: dialMaybeTLS(backAddr, backTLS)}
				defer func() { _ = tr.Close() }()
				front := serveMaybeTLS(t, &Server{Handler: forward(tr, &log{})}, frontTLS, config)
				for _, path := range []string{"/length", "/chunked", "/close"} {
					for _, length := range []string{"Content-Length: " + strconv.Itoa(size), "Transfer-Encoding: chunked"} {
						largeExchange(t, dialMaybeTLS(front, frontTLS), path, length, content, sum)
					}
				}
			})
		}
	}
}

func serveMaybeTLS(t testing.TB, s *Server, secure bool, config *tls.Config) string {
	l := listen(t)
	if secure {
		l = tlsListener{l, config}
	}
	go func() { _ = (&Server{Handler: s.Handler}).Serve(l) }()
	return l.Addr().String()
}

func dialMaybeTLS(addr string, secure bool) func(context.Context) (net.Conn, error) {
	if !secure {
		return dialTo(addr)
	}
	return func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own certificate
		return d.DialContext(ctx, "tcp", addr)
	}
}

func largeExchange(t *testing.T, dial func(context.Context) (net.Conn, error), path, framing string, content []byte, sum string) {
	t.Helper()
	c, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := &client{TB: t, Conn: c}
	conn.say("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + framing + "\r\n\r\n")
	if strings.HasPrefix(framing, "T") {
		for rest := content; len(rest) > 0; {
			n := min(1+mrand.IntN(70000), len(rest))
			conn.say(fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n]))
			rest = rest[n:]
		}
		conn.say("0\r\n\r\n")
	} else {
		conn.say(string(content))
	}
	conn.r = newReader(c)
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(path, framing, err)
	}
	got := crc32.NewIEEE()
	n, err := io.Copy(got, res.Body)
	if res.Header.Get("X-Sum") != sum+" <nil>" || strconv.Itoa(int(got.Sum32())) != sum || err != nil {
		t.Errorf("%s %s: upload %s, download %d bytes %v", path, framing, res.Header.Get("X-Sum"), n, err)
	}
}

func TestTLSRequest(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	addr := serveMaybeTLS(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, tls.VersionName(r.TLS.Version))
	})}, true, config)
	c, err := dialMaybeTLS(addr, true)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	conn := &client{t, c, newReader(c)}
	for range 3 {
		conn.say(get11)
		if got := conn.hear("GET"); got != `200 "TLS 1.3"` {
			t.Error(got)
		}
	}
}

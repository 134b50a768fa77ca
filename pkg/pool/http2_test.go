package pool

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/usher-ingress/usher/pkg/http1"
)

// TestHTTP2IsUnread: what an endpoint does once it has a request, and whether it has thereby said that it did not begin it. Nothing is
// sent to it twice without that being asked for.
func TestHTTP2IsUnread(t *testing.T) {
	for _, c := range []struct {
		name   string
		act    func(h2Stream)
		unread bool
	}{
		{"refused", func(s h2Stream) { s.reset(http2.ErrCodeRefusedStream) }, true},
		{"GOAWAY with a lower stream", func(s h2Stream) { s.goAway(0) }, true},
		{"GOAWAY with this stream, closed", func(s h2Stream) { s.goAway(s.id); _ = s.conn.Close() }, false},
		{"PROTOCOL_ERROR", func(s h2Stream) { s.reset(http2.ErrCodeProtocol) }, false},
		{"INTERNAL_ERROR", func(s h2Stream) { s.reset(http2.ErrCodeInternal) }, false},
		{"CANCEL", func(s h2Stream) { s.reset(http2.ErrCodeCancel) }, false},
		{"closed", func(s h2Stream) { _ = s.conn.Close() }, false},
		{"connection reset", h2Stream.abort, false},
	} {
		for _, body := range []string{"", "hello"} {
			for _, secure := range []bool{false, true} {
				name := c.name
				if body != "" {
					name += ", with a body"
				}
				if secure {
					name += ", TLS"
				}
				t.Run(name, func(t *testing.T) { http2Unread(t, secure, body, c.act, c.unread) })
			}
		}
	}
}

// http2Unread has a connection serve one request, and sends it a POST then.
func http2Unread(t *testing.T, secure bool, body string, act func(h2Stream), unread bool) {
	var posts atomic.Int64
	tr := newHTTP2(h2Endpoint(t, secure, func(s h2Stream) {
		if s.method == http.MethodGet {
			s.answer()
			return
		}
		posts.Add(1)
		act(s)
	}), Options{})
	defer tr.Close()
	res, err := tr.RoundTripWith(h2Request(secure, http.MethodGet, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	_, err = tr.RoundTripWith(h2Request(secure, http.MethodPost, body), nil)
	var e *http1.Error
	if !errors.As(err, &e) || e.Unread != unread || !e.Sent || e.Received {
		t.Errorf("%+v, want unread %t", e, unread)
	}
	if n := posts.Load(); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func h2Request(secure bool, method, body string) *http.Request {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	r, _ := http.NewRequest(method, scheme+"://app.test/", nil)
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return r
}

// h2Stream is a request that an endpoint has got whole.
type h2Stream struct {
	conn   net.Conn
	socket *net.TCPConn
	framer *http2.Framer
	id     uint32
	method string
}

func (s h2Stream) reset(code http2.ErrCode) { _ = s.framer.WriteRSTStream(s.id, code) }
func (s h2Stream) goAway(last uint32)       { _ = s.framer.WriteGoAway(last, http2.ErrCodeNo, nil) }
func (s h2Stream) abort()                   { _ = s.socket.SetLinger(0); _ = s.socket.Close() }

func (s h2Stream) answer() {
	var head bytes.Buffer
	_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
}

// h2Endpoint listens, and gives each request that has come to its end to f. It returns how to connect.
func h2Endpoint(t *testing.T, secure bool, f func(h2Stream)) func(context.Context) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	config := &tls.Config{Certificates: []tls.Certificate{h2Certificate(t)}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := h2Stream{conn: c, socket: c.(*net.TCPConn)}
			if secure {
				s.conn = tls.Server(c, config)
			}
			go s.serve(f)
		}
	}()
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil || !secure {
			return c, err
		}
		return shake(ctx, c, clientTLS(Key{Protocol: H2}))
	}
}

func h2Certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}
}

func (s h2Stream) serve(f func(h2Stream)) {
	defer s.conn.Close()
	if _, err := io.ReadFull(s.conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	s.framer = http2.NewFramer(s.conn, s.conn)
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = s.framer.WriteSettings()
	for {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			s.id, s.method, ended = frame.StreamID, frame.PseudoValue("method"), frame.StreamEnded()
		case *http2.DataFrame:
			ended = frame.StreamEnded()
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = s.framer.WriteSettingsAck()
			}
		}
		if ended {
			f(s)
		}
	}
}

//go:build linux

package traffic

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// idField names a request; a Pod's journal has its value.
const idField = "X-Zero-Id"

// Site is where the clients send their requests.
type Site struct {
	Host    string // example.com: HTTP on port 80, HTTPS on 443 of Address
	Address string // IP address
	// Restarts: what answers at Address may go away in good order while the load runs. An HTTP/2 client then sends again what the
	// server says it has not looked at (RFC 9113 section 6.8).
	Restarts bool
	// Cuts: Pods may die. A WebSocket to one of them is then cut, which is no failure; the next one must open.
	Cuts bool
	// Dial is how connections are made; nil is as usual.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	ids atomic.Int64
}

// Mixed is traffic of all kinds, at rate requests a second: GETs and POSTs over HTTP/1.1, half of the former over HTTP/2, messages over
// WebSockets and gRPC calls.
func (s *Site) Mixed(rate int) []Kind {
	return []Kind{
		{"GET", rate * 30 / 100, s.getter("http", false)},
		{"GET h2", rate * 20 / 100, s.getter("https", true)},
		{"POST", rate * 20 / 100, s.poster},
		{"WebSocket", rate * 15 / 100, s.talker},
		{"gRPC", rate * 15 / 100, s.caller},
	}
}

// dial connects to the site instead of the URL's host.
func (s *Site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dial := s.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, network, net.JoinHostPort(s.Address, port))
}

// transport is one client's connections. It keeps them for less time than any server, as careful clients do.
func (s *Site) transport(http2 bool) *http.Transport {
	t := &http.Transport{
		DialContext: s.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true,
		Protocols: new(http.Protocols), IdleConnTimeout: patience,
	}
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetHTTP2(http2)
	return t
}

func (s *Site) getter(scheme string, http2 bool) func() (func(context.Context) error, func()) {
	return func() (func(context.Context) error, func()) {
		t := s.transport(http2)
		return func(ctx context.Context) error {
			return s.do(ctx, t, http.MethodGet, scheme+"://"+s.Host+"/", nil, func(response *http.Response) error {
				_, err := io.Copy(io.Discard, response.Body)
				if err == nil && response.StatusCode != http.StatusOK {
					err = unexpected(response)
				}
				return err
			})
		}, t.CloseIdleConnections
	}
}

// poster sends bodies of a few bytes to a hundred kilobytes.
func (s *Site) poster() (func(context.Context) error, func()) {
	t, turn := s.transport(false), 0
	sizes := []int{10, 500, 3000, 20_000, 1000, 8000, 100_000}
	return func(ctx context.Context) error {
		turn++
		body := make([]byte, sizes[turn%len(sizes)])
		return s.do(ctx, t, http.MethodPost, "https://"+s.Host+"/", body, func(response *http.Response) error {
			text, err := io.ReadAll(response.Body)
			switch {
			case err != nil:
				return err
			case response.StatusCode != http.StatusOK:
				return unexpected(response)
			case strings.TrimSpace(string(text)) != strconv.Itoa(len(body)):
				return fmt.Errorf("of a body of %d bytes %s arrived", len(body), text)
			}
			return nil
		})
	}, t.CloseIdleConnections
}

func (s *Site) caller() (func(context.Context) error, func()) {
	t := s.transport(true)
	body := message([]byte("what is said"))
	return func(ctx context.Context) error {
		return s.do(ctx, t, http.MethodPost, "https://"+s.Host+callPath, body, func(response *http.Response) error {
			return checkCall(response, body)
		})
	}, t.CloseIdleConnections
}

// do makes one request on one connection. A client that had to try again counts as failed, unless the site restarts and it was a
// matter of HTTP/2.
func (s *Site) do(ctx context.Context, t *http.Transport, method, url string, body []byte, check func(*http.Response) error) error {
	var tries atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { tries.Add(1) }})
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	id := strconv.FormatInt(s.ids.Add(1), 10)
	r.Header.Set(idField, id)
	if strings.HasSuffix(url, callPath) {
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Te", "trailers")
	}
	response, err := t.RoundTrip(r)
	if err == nil {
		defer response.Body.Close()
		err = check(response)
	}
	if n := tries.Load(); err == nil && n > 1 && !(s.Restarts && t.Protocols.HTTP2()) {
		err = fmt.Errorf("the client had to try %d times", n)
	}
	if err != nil {
		return fmt.Errorf("request %s: %w", id, named(err, id))
	}
	return nil
}

func named(err error, id string) error {
	var answer *AnswerError
	if errors.As(err, &answer) {
		answer.ID = id
	}
	return err
}

// unexpected describes an answer.
func unexpected(response *http.Response) error {
	return &AnswerError{Status: response.StatusCode, Reason: response.Header.Get("X-Usher-Reason")}
}

// sessionTime is how long a client stays on one WebSocket where the site restarts: then not even a patient server lets them live for
// ever.
const sessionTime = time.Second

// talker sends messages on a WebSocket, and opens another one when the Pod closes it.
func (s *Site) talker() (func(context.Context) error, func()) {
	var socket *webSocket
	var since time.Time
	end := func() {
		if socket != nil {
			socket.close()
			socket = nil
		}
	}
	return func(ctx context.Context) error {
		if s.Restarts && time.Since(since) > sessionTime {
			end()
		}
		for range 2 {
			if socket == nil {
				conn, err := s.dial(ctx, "tcp", net.JoinHostPort(s.Host, "80"))
				if err != nil {
					return err
				}
				if socket, err = openWebSocket(conn, s.Host); err != nil {
					_ = conn.Close()
					return err
				}
				since = time.Now()
			}
			err := socket.echo("hello")
			if err == nil {
				return nil
			}
			_ = socket.conn.Close()
			socket = nil
			if !s.Cuts && !errors.Is(err, errGoodbye) {
				return err
			}
		}
		return errors.New("two WebSockets in a row were closed at once")
	}, end
}

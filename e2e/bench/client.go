package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// client is one HTTP/1.1 connection of the bench's own loads, plain or TLS 1.3. It does as little as it can: the core is shared.
type client struct {
	net.Conn
	in *bufio.Reader
}

// dial connects to a target; a deadline covers everything that is done with the connection, so that nothing waits for ever. TLS is 1.3
// with X25519 and without resumption: what all proxies here can do.
func dial(ctx context.Context, t *target, secure bool, deadline time.Time) (*client, error) {
	if secure {
		return connect(ctx, t.HTTPS, newTLS(), deadline)
	}
	return connect(ctx, t.HTTP, nil, deadline)
}

func newTLS() *tls.Config {
	return &tls.Config{ServerName: secureHost, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// connect is dial with a TLS configuration of the caller's choice, or without TLS when it is nil.
func connect(ctx context.Context, addr string, config *tls.Config, deadline time.Time) (*client, error) {
	dialer := net.Dialer{Deadline: deadline, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &client{Conn: conn, in: bufio.NewReaderSize(conn, 512)}, nil
}

// send writes a head with the fields given, each ending in CRLF.
func (c *client) send(method, path, host, fields string) error {
	_, err := io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: "+host+"\r\n"+fields+"\r\n")
	return err
}

// receive reads a head. The caller reads the body.
func (c *client) receive(want int) (*http.Response, error) {
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("status %s: want %d", response.Status, want)
	}
	return response, nil
}

// ask sends a GET and reads the answer to its end.
func (c *client) ask(path, host, fields string) error {
	if err := c.send(http.MethodGet, path, host, fields); err != nil {
		return err
	}
	response, err := c.receive(http.StatusOK)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// hostFor is the host a request names.
func hostFor(secure bool) string {
	if secure {
		return secureHost
	}
	return plainHost
}

// drop closes without leaving the port in TIME_WAIT: 10,000 connections at once would use them up.
func (c *client) drop() {
	conn := c.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

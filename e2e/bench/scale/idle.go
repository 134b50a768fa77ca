//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	idleConnections = 10_000
	stormClients    = 5_000
)

// idle is a kind of connection that rests.
type idle struct {
	name, port, path string
	files            int // open files of Usher for each
}

// measureIdle opens many of each kind, to a process of their own, and reads its memory.
func measureIdle(ctx context.Context, b *bench) (string, error) {
	s, err := openSite(b)
	if err != nil {
		return "", err
	}
	defer s.close()
	t := table{{"idle", "connections", "RSS before", "RSS with them", "of each"}}
	for _, kind := range []idle{
		{"WebSockets", "80", "/upgrade", 2}, {"kept connections", "80", "/", 1}, {"kept connections over TLS", "443", "/", 1},
	} {
		if err := rest(ctx, b, s, kind, &t); err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return fmt.Sprintf("A WebSocket has a connection to its Pod besides the client's, so there are as many as the limit of open files (%d) allows.\n\n%s", openFiles(), t), nil
}

// openFiles is how many a process may have.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(limit.Cur)
}

func rest(ctx context.Context, b *bench, s *site, kind idle, t *table) error {
	u, err := s.usher(ctx, b, "--keep-alive", "10m", "--max-connections", fmt.Sprint(openFiles()-1))
	if err != nil {
		return err
	}
	defer u.stop()
	before := u.memory("VmRSS")
	n := min(idleConnections, (openFiles()-1000)/kind.files)
	conns := make(crowd, n)
	defer conns.close()
	if err := inParallel(n, func(i int) (err error) {
		conns[i], err = open(ctx, i, kind.port, kind.path)
		return err
	}); err != nil {
		return err
	}
	time.Sleep(settle)
	now := u.memory("VmRSS")
	t.row(kind.name, n, fmt.Sprintf("%.0f MiB", before), fmt.Sprintf("%.0f MiB", now), fmt.Sprintf("%.1f KiB", (now-before)*1024/float64(n)))
	return nil
}

// open connects as client i and has one request answered, or an upgrade. The connection stays open.
func open(ctx context.Context, i int, port, path string) (net.Conn, error) {
	conn, err := dialFrom(ctx, source(i), port)
	if err != nil {
		return nil, err
	}
	if port == "443" {
		conn = tls.Client(conn, &tls.Config{ServerName: othersHost, InsecureSkipVerify: true}) //nolint:gosec // Usher's own, self-signed
	}
	if err := begins(conn, path); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// begins asks for the path and reads the answer.
func begins(conn net.Conn, path string) error {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	fields, want := "", http.StatusOK
	if path == "/upgrade" {
		fields, want = "Connection: Upgrade\r\nUpgrade: websocket\r\n", http.StatusSwitchingProtocols
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, othersHost, fields); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	if want == http.StatusOK {
		_, err = io.Copy(io.Discard, response.Body)
	}
	return err
}

// measureStorm lets 5,000 clients come at once: as they are, and after the process that had their connections was killed.
func measureStorm(ctx context.Context, b *bench) (string, error) {
	s, err := openSite(b)
	if err != nil {
		return "", err
	}
	defer s.close()
	t := table{{"5,000 clients at once", "all served after", "p50", "p99", "tries refused", "Usher's CPU"}}
	for _, kind := range []struct{ name, port, path string }{
		{"HTTP", "80", "/"}, {"HTTPS, full handshakes (the clients' half is part of the time)", "443", "/"}, {"WebSockets", "80", "/upgrade"},
	} {
		if err := storm(ctx, b, s, kind.name, kind.port, kind.path, &t); err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return "Each client has a connection; Usher is killed and started again; each client tries every 20 ms. The time runs from Ready until the last one has an answer.\n\n" + t.String(), nil
}

func storm(ctx context.Context, b *bench, s *site, name, port, path string, t *table) error {
	u, err := s.usher(ctx, b)
	if err != nil {
		return err
	}
	conns := make(crowd, stormClients)
	defer conns.close()
	if err := inParallel(stormClients, func(i int) (err error) {
		conns[i], err = open(ctx, i, port, path)
		return err
	}); err != nil {
		u.stop()
		return err
	}
	u.stop()
	if u, err = s.usher(ctx, b); err != nil {
		return err
	}
	defer u.stop()
	begin := time.Now()
	var mu sync.Mutex
	var took []time.Duration
	refused := 0
	var wg sync.WaitGroup
	for i := range stormClients {
		wg.Go(func() {
			tries := reconnect(ctx, conns, i, port, path)
			mu.Lock()
			defer mu.Unlock()
			took, refused = append(took, time.Since(begin)), refused+tries
		})
	}
	wg.Wait()
	slices.Sort(took)
	l := latency{took: took}
	t.row(name, fmt.Sprintf("%.2f s", l.quantile(1).Seconds()), l.p50(), l.p99(), refused, fmt.Sprintf("%.2f s", u.cpu().Seconds()))
	return ctx.Err()
}

// reconnect tries until client i is served, and returns how often it was not.
func reconnect(ctx context.Context, conns crowd, i int, port, path string) (refused int) {
	for ; ctx.Err() == nil; refused++ {
		conn, err := open(ctx, i, port, path)
		if err == nil {
			_ = conns[i].Close()
			conns[i] = conn
			return refused
		}
		time.Sleep(20 * time.Millisecond)
	}
	return refused
}

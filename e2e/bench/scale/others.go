//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	othersRate    = 500 // requests a second
	othersClients = 10
	othersHost    = "others.example.com"
)

// latency is how long requests took, sorted.
type latency struct {
	took   []time.Duration
	failed int
}

func (l latency) quantile(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[min(int(q*float64(len(l.took))), len(l.took)-1)]
}

func (l latency) p50() string { return millis(l.quantile(.50)) }
func (l latency) p99() string { return millis(l.quantile(.99)) }

// worse is how much longer the p99 became.
func (l latency) worse(than latency) string {
	if than.quantile(.99) == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", float64(l.quantile(.99))/float64(than.quantile(.99)))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// askOthers asks for the others' host at a constant rate for so long.
func askOthers(ctx context.Context, length time.Duration) latency {
	var all latency
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	every := time.Second * othersClients / othersRate
	for i := range othersClients {
		wg.Go(func() {
			l := askAt(ctx, begin.Add(time.Duration(i)*every/othersClients), every, begin.Add(length))
			mu.Lock()
			defer mu.Unlock()
			all.took, all.failed = append(all.took, l.took...), all.failed+l.failed
		})
	}
	wg.Wait()
	slices.Sort(all.took)
	return all
}

// askAt is one client with one connection; a connection that fails is made anew.
func askAt(ctx context.Context, meant time.Time, every time.Duration, end time.Time) latency {
	var l latency
	c := &asker{host: othersHost}
	defer c.close()
	for ; meant.Before(end) && ctx.Err() == nil; meant = meant.Add(every) {
		time.Sleep(time.Until(meant))
		if _, err := c.ask(ctx, "/"); err != nil {
			l.failed++
		}
		l.took = append(l.took, time.Since(meant))
	}
	return l
}

// asker is a keep-alive connection.
type asker struct {
	host string
	conn net.Conn
	in   *bufio.Reader
}

// ask returns the body of an answer with status 200.
func (c *asker) ask(ctx context.Context, path string) (body string, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		if c.conn, err = dialFrom(ctx, "", "80"); err != nil {
			return "", err
		}
		c.in = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if response.Close { // Usher asks for a new connection after some requests
		c.close()
	}
	return string(text), err
}

func (c *asker) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

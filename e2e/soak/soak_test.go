//go:build soak

package soak

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	swaps   = 1000
	clients = 16
)

// requests is how many there are in all.
func requests(t *testing.T) int64 {
	t.Helper()
	text := os.Getenv("USHER_SOAK_REQUESTS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < swaps {
		t.Fatalf("USHER_SOAK_REQUESTS=%q: want a number of at least %d", text, swaps)
	}
	return n
}

func TestSoak(t *testing.T) {
	s := newSite(t)
	u := serve(t, s.folder)
	all := requests(t)
	load := &load{t: t, address: u.address, all: all}
	load.start()
	memory, goroutines := series{name: "RSS in MiB"}, series{name: "goroutines"}
	began := time.Now()
	for n := range swaps {
		load.allowed.Store(all * int64(n+2) / swaps) // it goes on while a change becomes live
		s.roll()
		u.awaitSwap(n + 1)
		if !load.await(all * int64(n+1) / swaps) {
			break
		}
		if n%10 == 9 {
			memory.add(float64(n), u.rss())
			goroutines.add(float64(n), u.metric("go_goroutines"))
		}
	}
	load.running.Wait()
	t.Logf("%d requests in %s, %.0f swaps, %d applications, %d failed", load.done.Load(), time.Since(began).Round(time.Second),
		u.metric("usher_table_swaps_total"), s.started, load.failed.Load())
	memory.flat(t, 4)
	goroutines.flat(t, 10)
}

// load is the clients: each asks on one connection, again and again.
type load struct {
	t       *testing.T
	address string
	all     int64

	allowed             atomic.Int64 // requests that may have begun by now, so that they last as long as the swaps
	begun, done, failed atomic.Int64
	running             sync.WaitGroup
}

func (l *load) start() {
	for range clients {
		l.running.Go(func() {
			for l.connection() {
			}
		})
	}
}

// await waits until n requests were answered; false means that there is no point in going on.
func (l *load) await(n int64) bool {
	for l.done.Load() < n {
		if l.failed.Load() > 20 {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// connection sends requests until Usher closes the connection in good order; false means that all were sent.
func (l *load) connection() bool {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		return l.fail(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		n := l.begun.Add(1)
		for n > l.allowed.Load() && n <= l.all && l.failed.Load() <= 20 {
			time.Sleep(time.Millisecond)
		}
		if n > l.all || l.failed.Load() > 20 {
			return false
		}
		last, err := exchange(conn, in, n)
		if err != nil {
			return l.fail(err)
		}
		if l.done.Add(1); last {
			return true
		}
	}
}

func (l *load) fail(err error) bool {
	l.failed.Add(1)
	l.done.Add(1)
	l.t.Errorf("%s: %v", time.Now().Format("05.000"), err)
	return true
}

// exchange sends one request; every fifth is a POST, which may not be sent to two applications.
func exchange(conn net.Conn, in *bufio.Reader, n int64) (last bool, err error) {
	request := "GET /page HTTP/1.1\r\nHost: soak.test\r\n\r\n"
	if n%5 == 0 {
		request = "POST /page HTTP/1.1\r\nHost: soak.test\r\nContent-Length: 5\r\n\r\nhello"
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(body) != "ok" {
		return false, fmt.Errorf("%s %q %v, reason %q", response.Status, body, err, response.Header.Get("X-Usher-Reason"))
	}
	return response.Close, nil
}

// series is what was measured over the swaps.
type series struct {
	name string
	x, y []float64
}

func (s *series) add(x, y float64) { s.x, s.y = append(s.x, x), append(s.y, y) }

// flat holds that the straight line through the last four fifths rises by no more than most, or a twentieth.
func (s *series) flat(t *testing.T, most float64) {
	t.Helper()
	if len(s.x) < 10 {
		t.Errorf("%s: measured %d times only", s.name, len(s.x))
		return
	}
	x, y := s.x[len(s.x)/5:], s.y[len(s.y)/5:]
	meanX, meanY := mean(x), mean(y)
	var above, below float64
	for i := range x {
		above += (x[i] - meanX) * (y[i] - meanY)
		below += (x[i] - meanX) * (x[i] - meanX)
	}
	rise := above / below * (x[len(x)-1] - x[0])
	t.Logf("%s: %.1f on average, %.1f at first, %.1f at last; the line through them rises by %.2f", s.name, meanY, y[0], y[len(y)-1], rise)
	if rise > max(most, meanY/20) {
		t.Errorf("%s grows", s.name)
	}
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	return sum / float64(len(of))
}

//go:build linux

package traffic

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Balancer is a TCP load balancer as clouds have them: a new connection goes to the next healthy target, and stays there until it ends by
// itself. It knows nothing of what goes over it, and of a target only what its readiness says each time it is asked.
type Balancer struct {
	listeners []net.Listener
	stop      context.CancelFunc
	running   sync.WaitGroup
	turn      atomic.Uint32

	mu      sync.Mutex
	targets []*Target
}

// Target is a replica behind a [Balancer].
type Target struct {
	IP     string // where the ports of the balancer are
	Health string // URL that answers 200 while connections are welcome

	healthy bool // under Balancer.mu
	streak  int  // how many answers in a row have said otherwise
}

// How health is checked: the interval is short as such things go, the threshold usual.
const (
	healthInterval  = 500 * time.Millisecond
	healthThreshold = 2
)

// Balance begins to listen on ports of ip.
func Balance(ip string, ports ...string) (*Balancer, error) {
	ctx, stop := context.WithCancel(context.Background())
	b := &Balancer{stop: stop}
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			b.Close()
			return nil, err
		}
		b.listeners = append(b.listeners, l)
		b.running.Go(func() { b.accept(ctx, l, port) })
	}
	b.running.Go(func() { b.check(ctx) })
	return b, nil
}

// Close ends the balancer and its connections.
func (b *Balancer) Close() {
	b.stop()
	for _, l := range b.listeners {
		_ = l.Close()
	}
	b.running.Wait()
}

// Add registers a target; it gets connections when it is healthy.
func (b *Balancer) Add(t *Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = append(b.targets, t)
}

// Healthy is how many targets get connections.
func (b *Balancer) Healthy() int { return len(b.healthy()) }

func (b *Balancer) healthy() (healthy []*Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.healthy {
			healthy = append(healthy, t)
		}
	}
	return healthy
}

// check asks each target again and again.
func (b *Balancer) check(ctx context.Context) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		b.mu.Lock()
		targets := append([]*Target(nil), b.targets...)
		b.mu.Unlock()
		for _, t := range targets {
			response, err := client.Get(t.Health)
			ok := err == nil && response.StatusCode == http.StatusOK
			if err == nil {
				response.Body.Close()
			}
			b.judge(t, ok)
		}
		select {
		case <-ctx.Done():
		case <-time.After(healthInterval):
		}
	}
}

func (b *Balancer) judge(t *Target, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok == t.healthy {
		t.streak = 0
		return
	}
	if t.streak++; t.streak >= healthThreshold {
		t.healthy, t.streak = ok, 0
	}
}

func (b *Balancer) accept(ctx context.Context, l net.Listener, port string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() {
			defer client.Close()
			healthy := b.healthy()
			if len(healthy) == 0 {
				return
			}
			t := healthy[int(b.turn.Add(1))%len(healthy)]
			replica, err := net.Dial("tcp", net.JoinHostPort(t.IP, port))
			if err != nil {
				return
			}
			defer replica.Close()
			defer context.AfterFunc(ctx, func() { _ = client.Close(); _ = replica.Close() })()
			join(client.(*net.TCPConn), replica.(*net.TCPConn))
		})
	}
}

// join carries bytes both ways until both have ended.
func join(a, b *net.TCPConn) {
	var both sync.WaitGroup
	carry := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil {
			_ = to.Close() // the other end was reset
			return
		}
		_ = to.CloseWrite()
	}
	both.Go(func() { carry(a, b) })
	carry(b, a)
	both.Wait()
}

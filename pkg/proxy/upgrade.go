package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/usher-ingress/usher/pkg/http1"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// upgrade hands both connections over to each other after a 101 (RFC 9110 section 7.8): a WebSocket, or whatever the two agreed on.
// It ends when both sides have, when one fails, or when nothing moved for the read timeout.
func (x *exchange) upgrade() bool {
	upstream, ok := x.response.Body.(io.ReadWriteCloser)
	if !ok || x.r.ProtoMajor > 1 && !x.acceptsKey() {
		x.record.Error = "101 to a request that cannot be upgraded"
		x.settle(pool.Malformed)
		return x.fail(policy.BadResponse)
	}
	take := x.hijack
	if x.r.ProtoMajor > 1 {
		take = x.acceptExtended
	}
	client, buffered, err := take()
	if err != nil {
		x.record.Error = err.Error()
		if x.clientLeft() {
			return x.fail(policy.ClientClosed)
		}
		return x.fail(policy.Internal)
	}
	defer x.proxy.tunnels.add(client)()
	if x.r.ProtoMajor == 1 {
		x.record.Status = http.StatusSwitchingProtocols
		if _, err := client.Write(x.switching()); err != nil {
			_ = client.Close()
			x.record.Reason, x.record.Error = policy.ClientClosed, err.Error()
			return true
		}
	}
	up, down, err := http1.Tunnel(client, buffered, upstream, x.Set.Timeouts.Read)
	x.record.Received, x.record.Sent = up, down
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		x.record.Error = err.Error()
	}
	x.settle(pool.None)
	return true
}

// hijack takes the client's connection, and what was read from it already.
func (x *exchange) hijack() (net.Conn, []byte, error) {
	conn, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.hijacked = true
	buffered, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, buffered, nil
}

// switching is the head of the 101 answer.
func (x *exchange) switching() []byte {
	h := x.response.Header
	x.ownFields(h)
	b := []byte("HTTP/1.1 101 Switching Protocols\r\n")
	for name, values := range h {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Content-Length", "Server":
			continue
		}
		for _, value := range values {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	return append(b, "Connection: Upgrade\r\n\r\n"...)
}

// Tunnels are the upgraded connections. They survive swaps, and at the end of the process they are waited for and then closed.
type Tunnels struct {
	mu    sync.Mutex
	open  map[net.Conn]struct{}
	empty chan struct{} // closed when the last one ends; nil while nobody waits
}

// Tunnels returns the upgraded connections of this proxy.
func (p *Proxy) Tunnels() *Tunnels { return &p.tunnels }

func (t *Tunnels) add(c net.Conn) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[net.Conn]struct{}{}
	}
	t.open[c] = struct{}{}
	return func() { t.remove(c) }
}

func (t *Tunnels) remove(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if len(t.open) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// Count is how many there are now.
func (t *Tunnels) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// Drain waits until all have ended by themselves; when ctx is done it closes those that are left, and returns ctx's error.
func (t *Tunnels) Drain(ctx context.Context) error {
	t.mu.Lock()
	if len(t.open) == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	empty := t.empty
	t.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		t.CloseAll()
		<-empty
		return ctx.Err()
	}
}

// CloseAll closes all that are open.
func (t *Tunnels) CloseAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.Close()
	}
}

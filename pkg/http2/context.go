package http2

import (
	"context"
	"sync"
	"time"
)

// requestContext is a request's context: the connection's values, cancelled
// when the stream is reset, the client gone, or the handler has returned. It
// makes its channel when somebody asks. One that nobody asked serves again.
type requestContext struct {
	mu      sync.Mutex
	parent  context.Context
	err     error
	done    chan struct{}
	after   map[*afterFunc]struct{}
	escaped bool
}

type afterFunc struct{ f func() }

func (c *requestContext) begin(parent context.Context) {
	c.mu.Lock()
	c.parent = parent
	c.mu.Unlock()
}

// Deadline is none.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value returns the connection's value.
func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	parent := c.parent
	c.mu.Unlock()
	return parent.Value(key)
}

// Done is closed at the end of the request.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.escaped = true
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err is nil until then.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets package context derive contexts without a goroutine.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.escaped = true
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{}, 1)
	}
	a := &afterFunc{f}
	c.after[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, pending := c.after[a]
		delete(c.after, a)
		return pending
	}
}

func (c *requestContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for a := range c.after {
		go a.f()
	}
	c.after = nil
}

// finish reports whether another request may use the context.
func (c *requestContext) finish() bool {
	c.mu.Lock()
	quiet := !c.escaped && c.err == nil
	c.mu.Unlock()
	if !quiet {
		c.cancel()
	}
	return quiet
}

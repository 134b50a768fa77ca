package http1

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// requestContext is the context of a request: the connection's values, and
// cancelled when the client goes away or the handler returns. It makes its
// channel only when somebody asks for it; in steady state nobody does, because
// [Transport] registers its connection here directly.
//
// One that was never asked is used again for the next request. One that was
// ("escaped") may be held by derived contexts and is left to them.
type requestContext struct {
	// parent is the connection's context. It is atomic for the sake of those
	// who, against the contract, look for values after the handler returned.
	parent atomic.Pointer[context.Context]

	mu      sync.Mutex
	err     error
	done    chan struct{}
	after   map[*afterFunc]struct{}
	using   *wire // interrupted on cancellation
	escaped bool
}

type afterFunc struct{ f func() }

// Deadline is the connection's: there is none.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value returns the connection's value.
func (c *requestContext) Value(key any) any {
	parent := c.parent.Load()
	if parent == nil {
		return nil
	}
	return (*parent).Value(key)
}

// Done is closed when the client has gone or the handler has returned.
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

// use registers w to be interrupted on cancellation; false when there is one
// registered already. err is the context's error.
func (c *requestContext) use(w *wire) (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.using != nil || c.err != nil {
		return false, c.err
	}
	c.using = w
	return true, nil
}

// unuse ends use. After it returns, w is not interrupted any more.
func (c *requestContext) unuse(w *wire) {
	c.mu.Lock()
	if c.using == w {
		c.using = nil
	}
	c.mu.Unlock()
}

func (c *requestContext) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.using != nil {
		c.using.interrupt()
		c.using = nil
	}
	for a := range c.after {
		go a.f()
	}
	c.after = nil
}

// finish ends the request's use of the context, and reports whether the next
// request may use it.
func (c *requestContext) finish() bool {
	c.mu.Lock()
	quiet := !c.escaped && c.err == nil && c.using == nil
	c.mu.Unlock()
	if !quiet {
		c.cancel(context.Canceled)
	}
	return quiet
}

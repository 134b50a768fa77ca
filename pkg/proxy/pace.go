package proxy

import (
	"context"
	"io"
	"time"
)

// paced writes no faster than a client may be sent to (limit-rate): as nginx does, a second's worth at once and then as time goes by.
type paced struct {
	to    io.Writer
	flush func() error
	ctx   context.Context // ends the waiting
	rate  int64           // bytes per second
	free  int64           // bytes that do not count, and go down to 0

	began time.Time // when bytes began to count
	sent  int64     // of those that count
}

// paced is the client, for the body of an answer with limit-rate.
func (x *exchange) paced() *paced {
	limit := &x.Set.Limit
	return &paced{to: x.w, flush: x.flush, ctx: x.r.Context(), rate: limit.Bandwidth, free: limit.BandwidthAfter}
}

// Write implements io.Writer. Before a piece is written all earlier ones are due.
func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(int64(len(b)), max(p.free, p.rate))]
		if err := p.wait(); err != nil {
			return n, err
		}
		m, err := p.to.Write(piece)
		if n += m; err != nil {
			return n, err
		}
		if err := p.flush(); err != nil {
			return n, err
		}
		p.count(int64(m))
		b = b[m:]
	}
	return n, nil
}

func (p *paced) count(n int64) {
	free := min(n, p.free)
	p.free -= free
	if n -= free; n == 0 {
		return
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	p.sent += n
}

// wait waits until what was sent is due, less one second.
func (p *paced) wait() error {
	if p.sent == 0 {
		return nil
	}
	ahead := time.Duration(float64(p.sent)/float64(p.rate)*float64(time.Second)) - time.Since(p.began) - time.Second
	if ahead <= 0 {
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

package controller

import (
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

// maxDraining bounds how many old Tables are kept for requests that loaded them. Under a storm of changes the oldest is let go
// before its time, which costs its requests nothing but statistics.
const maxDraining = 4

// draining retains the Tables in use: the newest, and those that were swapped out less than a grace ago, for requests that loaded
// them just before the swap. Every call of retain is made under one lock, so the pool sees them in order.
type draining struct {
	retain func(tables ...*route.Table) // newest first
	grace  time.Duration

	mu      sync.Mutex
	current *route.Table
	old     []retired // newest first
	timer   *time.Timer
	stopped bool
}

type retired struct {
	table *route.Table
	at    time.Time
}

// replace makes next the newest, before it is swapped in; the newest until now starts to drain.
func (d *draining) replace(next *route.Table) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		d.old = append([]retired{{d.current, time.Now()}}, d.old[:min(len(d.old), maxDraining-1)]...)
		d.arm()
	}
	d.current = next
	d.call()
}

// expire lets go of the Tables that have drained.
func (d *draining) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.timer = nil
	for n := len(d.old); n > 0 && time.Since(d.old[n-1].at) >= d.grace; n-- {
		d.old = d.old[:n-1]
	}
	d.arm()
	d.call()
}

// arm sets the timer for the oldest Table that drains.
func (d *draining) arm() {
	if n := len(d.old); n > 0 && d.timer == nil {
		d.timer = time.AfterFunc(time.Until(d.old[n-1].at.Add(d.grace)), d.expire)
	}
}

// stop ends the timer; the Tables stay retained as they are.
func (d *draining) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *draining) call() {
	if d.retain == nil {
		return
	}
	tables := make([]*route.Table, 0, 1+len(d.old))
	tables = append(tables, d.current)
	for _, r := range d.old {
		tables = append(tables, r.table)
	}
	d.retain(tables...)
}

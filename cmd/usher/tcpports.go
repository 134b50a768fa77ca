package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/controller"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/route"
)

// tcpPorts opens the ports of TCP services as Tables come to want them. A port that cannot be had is tried again, and goes back into
// the loop as a problem of the next Snapshot, so that it becomes a Diagnostic like any other.
type tcpPorts struct {
	controller.Source
	listen func([]uint16) map[uint16]error

	changed chan struct{} // like Source.Changed
	tables  chan []uint16 // the ports that the newest Table wants; capacity 1

	mu       sync.Mutex
	problems []object.Problem
}

// portRetry is how often a port is tried again.
const portRetry = 5 * time.Second

func newTCPPorts(from controller.Source) *tcpPorts {
	return &tcpPorts{Source: from, changed: make(chan struct{}, 1), tables: make(chan []uint16, 1)}
}

// Run implements controller.Source.
func (p *tcpPorts) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var passing sync.WaitGroup
	defer passing.Wait()
	defer cancel()
	passing.Go(func() {
		for {
			select {
			case <-p.Source.Changed():
				p.signal()
			case <-ctx.Done():
				return
			}
		}
	})
	return p.Source.Run(ctx)
}

// Changed implements controller.Source.
func (p *tcpPorts) Changed() <-chan struct{} { return p.changed }

// Snapshot implements controller.Source.
func (p *tcpPorts) Snapshot() (*object.Snapshot, bool) {
	s, ok := p.Source.Snapshot()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok || len(p.problems) == 0 {
		return s, ok
	}
	with := *s
	with.Problems = append(slices.Clip(s.Problems), p.problems...)
	return &with, true
}

func (p *tcpPorts) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// publish is told each Table.
func (p *tcpPorts) publish(t *route.Table) {
	ports := make([]uint16, len(t.TCP))
	for i := range t.TCP {
		ports[i] = t.TCP[i].Port
	}
	select {
	case <-p.tables: // never looked at
	default:
	}
	p.tables <- ports
}

// follow opens and closes ports until ctx ends.
func (p *tcpPorts) follow(ctx context.Context) error {
	var wanted []uint16
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case wanted = <-p.tables:
		case <-again:
		}
		failed := p.listen(wanted)
		p.tell(failed)
		if again = nil; len(failed) > 0 {
			again = time.After(portRetry)
		}
	}
}

// tell hands on what failed, if that is news.
func (p *tcpPorts) tell(failed map[uint16]error) {
	var problems []object.Problem
	for _, port := range slices.Sorted(maps.Keys(failed)) {
		problems = append(problems, object.Problem{Port: port, Message: failed[port].Error()})
	}
	p.mu.Lock()
	news := !slices.Equal(problems, p.problems)
	p.problems = problems
	p.mu.Unlock()
	if news {
		p.signal()
	}
}

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// echoTime is how long after the first signal another one is taken for its echo: shells and `timeout` send one signal both to the
// process and to its group.
const echoTime = 200 * time.Millisecond

// stopper is the two ways to end: gently at the first signal, or when the parent context ends, and at once at the second signal.
type stopper struct {
	gently, atOnce context.Context
	release        func()
}

func newStopper(parent context.Context) *stopper {
	gently, first := context.WithCancel(parent)
	atOnce, second := context.WithCancel(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		var since time.Time
		for atOnce.Err() == nil {
			select {
			case <-signals:
				switch {
				case since.IsZero():
					since = time.Now()
					first()
				case time.Since(since) > echoTime:
					second()
				}
			case <-atOnce.Done():
			}
		}
	}()
	return &stopper{gently: gently, atOnce: atOnce, release: func() {
		signal.Stop(signals)
		first()
		second()
	}}
}

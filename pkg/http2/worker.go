package http2

import "sync"

// workers are goroutines that serve streams. Parked ones wait for the next, the
// one that parked last first, since its stack is in the cache.
type workers struct {
	mu     sync.Mutex
	parked []chan *stream
}

const maxParked = 256

// run gives the stream to a worker.
func (w *workers) run(st *stream) {
	w.mu.Lock()
	if n := len(w.parked); n > 0 {
		worker := w.parked[n-1]
		w.parked = w.parked[:n-1]
		w.mu.Unlock()
		worker <- st
		return
	}
	w.mu.Unlock()
	go w.work(st)
}

func (w *workers) work(st *stream) {
	next := make(chan *stream, 1)
	for {
		st.serve()
		w.mu.Lock()
		if len(w.parked) >= maxParked {
			w.mu.Unlock()
			return
		}
		w.parked = append(w.parked, next)
		w.mu.Unlock()
		st = <-next
	}
}

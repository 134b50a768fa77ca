package http2

import "sync"

// workers are goroutines that serve streams. Parked ones wait for the next, the
// one that parked last first, since its stack is in the cache. They end with
// the last connection.
type workers struct {
	mu     sync.Mutex
	conns  int // connections, which may need workers
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
		if len(w.parked) >= maxParked || w.conns == 0 {
			w.mu.Unlock()
			return
		}
		w.parked = append(w.parked, next)
		w.mu.Unlock()
		if st = <-next; st == nil {
			return
		}
	}
}

// hire and release are for the begin and the end of a connection.
func (w *workers) hire() {
	w.mu.Lock()
	w.conns++
	w.mu.Unlock()
}

func (w *workers) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns--; w.conns > 0 {
		return
	}
	for _, worker := range w.parked {
		close(worker)
	}
	w.parked = nil
}

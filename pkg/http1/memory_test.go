package http1

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"
)

// inUse is what the Go runtime holds for objects and stacks, after what the
// pools keep was collected.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// An idle keep-alive connection costs at most 6 KiB here, with the client's
// end, which is in this process too, included.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	const conns, limit = 1000, 6 << 10
	s := &Server{Handler: proxyHandler(&Transport{Dial: dialTo(rawUpstream(t, smallResponse))})}
	addr := serve(t, s)
	before := inUse()
	held := make([]net.Conn, 0, conns)
	scratch := make([]byte, 4096)
	for range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := exchangeOnce(c, []byte(small), scratch); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	eventually(t, "all idle", func() bool { return s.Stats().Idle == conns })
	each := (inUse() - before) / conns
	t.Logf("%d bytes for each of %d idle connections", each, len(held))
	if each > limit {
		t.Errorf("more than %d", limit)
	}
}

// Many slow readers of a large body hold bounded memory: here 50 of a
// gigabyte each, on plain sockets and with a coding that prevents splicing.
func TestMemoryOfSlowReaders(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	const readers, limit = 50, 8 << 20
	back := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1073741824")
		}
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 1<<30))
	})})
	front := serve(t, &Server{Handler: proxyHandler(&Transport{Dial: dialTo(back)})})
	before := inUse()
	var wg sync.WaitGroup
	for i := range readers {
		c := connect(t, front)
		c.say([]string{"GET /length", "GET /chunked"}[i%2] + " HTTP/1.1\r\nHost: x\r\n\r\n")
		wg.Go(func() {
			buf := make([]byte, 1<<10)
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if _, err := c.Read(buf); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	if grown := inUse() - before; grown > limit {
		t.Errorf("%d slow readers hold %d KiB", readers, grown>>10)
	} else {
		t.Logf("%d slow readers hold %d KiB", readers, grown>>10)
	}
	wg.Wait()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

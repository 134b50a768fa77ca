package http1

import (
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
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

// bareClient connects without the runtime's help, so that only the server's
// end of the connection is measured; it sends one request and reads something.
func bareClient(t *testing.T, addr string, request []byte) (fd int) {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err == nil {
		_, err = syscall.Write(fd, request)
	}
	if err == nil {
		_, err = syscall.Read(fd, make([]byte, 4096))
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// An idle keep-alive connection costs at most 6 KiB.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	const conns, limit = 1000, 6 << 10
	s := &Server{Handler: proxyHandler(&Transport{Dial: dialTo(rawUpstream(t, smallResponse))})}
	addr := serve(t, s)
	before := inUse()
	for range conns {
		fd := bareClient(t, addr, []byte(small))
		defer func() { _ = syscall.Close(fd) }()
	}
	eventually(t, "all idle", func() bool { return s.Stats().Idle == conns })
	each := (inUse() - before) / conns
	t.Logf("%d bytes for each of %d idle connections", each, conns)
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

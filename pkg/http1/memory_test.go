package http1

import (
	"net/netip"
	"runtime"
	"syscall"
	"testing"
)

// inUse is what the Go runtime holds for objects and stacks, after what the
// pools keep was collected. A collection halves the stack of a goroutine that
// waits, so the first ones still find traces of the last request.
func inUse() int64 {
	var m runtime.MemStats
	for range 5 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// costsAtMost waits until each of n connections made since before costs no more
// than limit. The first count may be higher: a goroutine that has just answered
// still has the stack of its answer.
func costsAtMost(t *testing.T, limit, n, before int64) {
	t.Helper()
	var each int64
	for range 10 {
		if each = (inUse() - before) / n; each <= limit {
			break
		}
	}
	t.Logf("%d bytes for each of %d idle connections", each, n)
	if each > limit {
		t.Errorf("more than %d", limit)
	}
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
	const conns, limit = 3000, 6 << 10
	s := &Server{Handler: proxyHandler(&Transport{Dial: dialTo(rawUpstream(t, smallResponse))})}
	addr := serve(t, s)
	before := inUse()
	for range conns {
		fd := bareClient(t, addr, []byte(small))
		defer func() { _ = syscall.Close(fd) }()
	}
	eventually(t, "all idle", func() bool { return s.Stats().Idle == conns })
	costsAtMost(t, limit, conns, before)
}

// An idle tunnel costs at most 32 KiB, with the test's own handler and backend:
// both connections have given back their four buffers, which are 32 KiB more.
func TestMemoryOfIdleTunnels(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	const conns, limit = 1000, 32 << 10
	tr := &Transport{Dial: dialTo(rawUpstream(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"))}
	s := &Server{Handler: forward(tr, &log{})}
	addr := serve(t, s)
	before := inUse()
	for range conns {
		fd := bareClient(t, addr, []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"))
		defer func() { _ = syscall.Close(fd) }()
	}
	if open := tr.Stats().Open; open != conns {
		t.Fatalf("%d connections to the backend, want %d", open, conns)
	}
	costsAtMost(t, limit, conns, before)
}

package server

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Limits.Connections bounds what is open at a time, on all listeners together, those of TCP services among them. What comes beyond it is
// accepted and closed at once, by a reset, which leaves nothing behind in the kernel: a client hears at once that it has to go elsewhere,
// where one that is left in the queue of the kernel would wait. A connection that is idle keeps its place; KeepAlive ends it.

// maxDefaultConnections bounds the default.
const maxDefaultConnections = 1 << 16

// defaultConnections is a third of the files that this process may open. A client's connection may need another one to its endpoint, and
// what is left is for the admin port, the API server and files: without those, a flood of connections would end more than new connections.
func defaultConnections() int { return int(max(1, min(openFiles()/3, maxDefaultConnections))) }

// connectionLimit counts connections that are open.
type connectionLimit struct {
	most  int64
	taken atomic.Int64

	mu      sync.Mutex
	told    time.Time // when refusals were last logged
	refused int64     // since then
}

// check warns of a limit that will never be reached.
func (l *connectionLimit) check(log *zap.Logger) {
	if files := openFiles(); uint64(l.most) >= files {
		log.Warn("the limit of connections is not below that of open files, which comes first: new connections will wait, and none to endpoints can be made",
			zap.Int64("connections", l.most), zap.Uint64("openFiles", files))
	}
}

// MaxConnections is how many client connections may be open at a time.
func (s *Server) MaxConnections() int { return int(s.open.most) }

// acquire returns false when every place is taken.
func (l *connectionLimit) acquire() bool {
	if l.taken.Add(1) <= l.most {
		return true
	}
	l.release()
	return false
}

func (l *connectionLimit) release() { l.taken.Add(-1) }

// tellEvery is how often at most refused connections are logged; the metric counts each.
const tellEvery = time.Second

// refusedOne counts a refusal. It returns how many there were since the last that was told, or 0 while it is too early to tell again.
func (l *connectionLimit) refusedOne() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	now := time.Now()
	if !l.told.IsZero() && now.Sub(l.told) < tellEvery {
		return 0
	}
	n := l.refused
	l.told, l.refused = now, 0
	return n
}

// refuseConnection closes a connection for which there is no place.
func (l *listener) refuseConnection(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
	s := l.server
	s.observer.ConnectionRefused(l.name)
	if n := s.open.refusedOne(); n > 0 {
		s.log.Warn("as many connections are open as may be; new ones are closed at once", zap.Int64("limit", s.open.most),
			zap.Int64("refused", n), zap.String("listener", l.name))
	}
}

package http2

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// conn is one client connection.
type conn struct {
	server *Server
	net    net.Conn
	tls    *tls.ConnectionState
	remote string
	base   context.Context

	maxStreams int

	// Only the reading goroutine uses these.
	in         []byte
	start, end int
	timed      bool // a read deadline is set
	late       bool // the server is shutting down
	inBlock    bool // between HEADERS and the end of its field section
	decoder    *hpack.Decoder
	fields     fieldSet
	flood      floodLimit

	mu        sync.Mutex
	streams   map[uint32]*stream
	last      uint32 // the highest stream that the client opened
	ignored   uint32 // the highest one that it opened too late, see final
	closed    [64]closedStream
	closedAt  int
	running   int // handlers
	handlers  sync.WaitGroup
	failed    error
	leaving   bool // a GOAWAY was sent
	final     bool // with the last stream in it: later ones are ignored
	resets    int  // streams that handlers made us reset before their answer; the reader collects them
	useful    int  // streams that were answered; the reader collects them
	paid      int  // idle frames that were paid for, see floodlimit.go; the reader collects them
	unread    int  // bytes of DATA that no window update has given back
	credit    int  // body bytes that were read or dropped, not given back yet
	beats     int  // beats of the clock without a stream
	window    int64
	initial   int64 // of a stream's send window
	peerFrame int
	waiting   []*stream // for the connection's window

	out, spare []byte
	flushing   bool
	writing    int // beats that the write under way has taken; -1 without one
	shrunk     bool
	room       sync.Cond // out has become shorter
}

// closedStream is a stream that ended lately.
type closedStream struct {
	id  uint32
	our bool // we reset it: frames sent before the client knew are to be ignored
}

func newConn(s *Server, nc net.Conn, read []byte) *conn {
	c := &conn{
		server: s, net: nc, remote: nc.RemoteAddr().String(), in: make([]byte, max(smallBuffer, len(read))), streams: map[uint32]*stream{},
		window: 65535, initial: 65535, peerFrame: maxFrame, writing: -1, flood: floodLimit{limit: s.limits.Idle},
	}
	c.end = copy(c.in, read)
	c.room.L = &c.mu
	c.decoder = hpack.NewDecoder(4096, c.emit)
	if s.Streams != nil {
		c.maxStreams = s.Streams()
	}
	if c.maxStreams <= 0 {
		c.maxStreams = s.limits.Streams
	}
	return c
}

// serve is the connection's life.
func (c *conn) serve(late bool) {
	beat := min(c.server.timeouts.KeepAlive, c.server.timeouts.WriteIdle) / 4
	c.mu.Lock() // the first beat waits until there is a clock to set again
	var clock *time.Timer
	clock = time.AfterFunc(beat, func() {
		if c.beat(beat) {
			clock.Reset(beat)
		}
	})
	c.mu.Unlock()
	defer clock.Stop()
	err := c.greet()
	if late { // it leaves with its first request, or soon
		c.late = true
		defer time.AfterFunc(c.server.lastCall, c.left).Stop()
	}
	for err == nil {
		var f frame
		if f, err = c.next(); err == nil {
			err = c.receive(f)
		}
		if err == nil {
			err = c.settle()
		}
	}
	c.finish(err)
}

// greet exchanges prefaces (RFC 9113 section 3.4).
func (c *conn) greet() error {
	_ = c.net.SetReadDeadline(time.Now().Add(c.server.timeouts.Preface))
	c.timed = true
	c.mu.Lock()
	l := &c.server.limits
	b := appendFrameHeader(c.out, 6*6, frameSettings, 0)
	b = append(b, 0, 0, 0, 0)
	for _, s := range [...]struct {
		id    uint16
		value int
	}{{settingMaxStreams, c.maxStreams}, {settingMaxFrame, maxFrame}, {settingInitialWindow, l.StreamWindow}, {settingMaxHeaderList, l.HeadBytes}, {settingTableSize, 4096}, {settingConnect, 1}} {
		b = binary.BigEndian.AppendUint16(b, s.id)
		b = binary.BigEndian.AppendUint32(b, uint32(s.value))
	}
	c.out = appendUint32Frame(b, frameWindowUpdate, 0, uint32(l.ConnectionWindow-65535))
	if l.ConnectionWindow == 65535 {
		c.out = b
	}
	c.mu.Unlock()
	if err := c.needPreface(); err != nil {
		return err
	}
	c.start += len(preface)
	f, err := c.next()
	if err != nil {
		return err
	}
	if f.kind != frameSettings || f.has(flagAck) {
		return broken(codeProtocol, "no-settings")
	}
	return c.receive(f)
}

func (c *conn) needPreface() error {
	for n := 1; n <= len(preface); n++ {
		if c.end-c.start < n {
			c.timed = true
			c.inBlock = true // keep the deadline
			err := c.need(n)
			c.inBlock = false
			if err != nil {
				return err
			}
		}
		if c.in[c.start+n-1] != preface[n-1] {
			return broken(codeProtocol, "bad-preface")
		}
	}
	return nil
}

// settle takes note of how streams ended, and ends a connection that has nothing left to do.
func (c *conn) settle() error {
	c.mu.Lock()
	resets, useful, paid := c.resets, c.useful, c.paid
	c.resets, c.useful, c.paid = 0, 0, 0
	done := c.final && len(c.streams) == 0
	failed := c.failed
	c.mu.Unlock()
	c.flood.forgive(paid)
	for range useful {
		c.flood.useful()
	}
	for range resets {
		if err := c.flood.reset(); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	if done {
		return io.EOF
	}
	return nil
}

// beat is the connection's coarse clock.
func (c *conn) beat(period time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return false
	}
	c.paid += paidByBeat
	if c.writing >= 0 {
		if c.writing++; time.Duration(c.writing-1)*period >= c.server.timeouts.WriteIdle {
			c.server.count("write-timeout")
			c.fail(errClientGone)
			go c.net.Close()
			return false
		}
	}
	if len(c.streams) > 0 {
		c.beats = 0
	} else if c.beats++; time.Duration(c.beats-1)*period >= c.server.timeouts.KeepAlive {
		c.goAway(c.last, codeNo)
		c.final = true
		go c.flushAndWake()
	}
	return true
}

// leave begins to end the connection in two steps (RFC 9113 section 6.8): a
// GOAWAY that still allows every stream, and a ping; what the client sent
// before it answers that is served.
func (c *conn) leave() {
	c.mu.Lock()
	c.announceEnd()
	c.flush(false)
	c.mu.Unlock()
}

func (c *conn) announceEnd() {
	if c.leaving {
		return
	}
	c.goAway(maxWindow, codeNo)
	c.out = append(appendFrameHeader(c.out, 8, framePing, 0), 0, 0, 0, 0)
	c.out = append(c.out, leavePing...)
	time.AfterFunc(c.server.lastCall, c.left)
}

const leavePing = "goodbye!"

// left is the second step.
func (c *conn) left() {
	c.mu.Lock()
	if c.final || c.failed != nil {
		c.mu.Unlock()
		return
	}
	c.final = true
	c.goAway(c.last, codeNo)
	c.mu.Unlock()
	c.flushAndWake()
}

// flushAndWake sends what is buffered, and wakes the reader if there is nothing to wait for.
func (c *conn) flushAndWake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush(false)
	if c.final && len(c.streams) == 0 {
		_ = c.net.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) goAway(last uint32, code errCode) {
	c.leaving = true
	c.out = append(appendFrameHeader(c.out, 8, frameGoAway, 0), 0, 0, 0, 0)
	c.out = binary.BigEndian.AppendUint32(c.out, last)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
}

// finish closes the connection and waits for its handlers.
func (c *conn) finish(err error) {
	var e *connError
	c.mu.Lock()
	if errors.As(err, &e) {
		c.server.count(e.kind)
		if c.failed == nil {
			c.goAway(c.last, e.code)
		}
	}
	c.flush(false)
	for c.flushing && c.failed == nil {
		c.room.Wait()
	}
	c.fail(errClientGone)
	c.mu.Unlock()
	if e != nil {
		c.linger()
	}
	_ = c.net.Close()
	c.handlers.Wait()
}

// linger reads a little of what the client still sends: closing with unread
// bytes would make the kernel throw our GOAWAY away.
func (c *conn) linger() {
	const longest = 500 * time.Millisecond
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.net.SetReadDeadline(time.Now().Add(longest))
	for dropped := 0; dropped < 1<<20; {
		n, err := c.net.Read(c.in)
		if err != nil {
			return
		}
		dropped += n
	}
}

// fail ends all streams. The lock is held.
func (c *conn) fail(err error) {
	if c.failed == nil {
		c.failed = err
	}
	for _, st := range c.streams {
		st.kill(errClientGone)
	}
	c.room.Broadcast()
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// paced sends requests at a constant rate whether or not earlier ones have been answered, and measures each from the moment it was meant
// to be sent. A load that waits for answers hides the very delays it should show ("coordinated omission"):
//
//	meant at 0 us, sent at 0, answered at 9000     9000 us
//	meant at 50 us, sent at 9000, answered at 9080   9030 us, not 80
//
// Requests go out in groups, one each tick, as many as the rate asks for, and answers are looked for at ticks too: to wake for each costs
// the core, which is the backend's as well, more than the requests do. When an answer arrived the kernel tells, to the nanosecond (see
// receive). It is one loop of system calls, since goroutines would take time from the backend; and it goes before the backend on their
// core (see urgent), or it would measure how long the backend lets it wait.
//
// A turn is cut into windows by when requests were meant to be sent, each with a p99 of its own, and the median of them is the figure: what
// else the machine does disturbs some windows, not the most. What a proxy itself does seldom, the collector of a Go program for instance, is
// not seen there either; so the p99 of all requests is shown beside it.
type paced struct {
	epoll    int
	request  []byte
	answer   int // bytes of an answer, head and body, taken from the first
	interval time.Duration
	conns    map[int]*pacedConn
	idle     []*pacedConn
	waiting  []time.Duration // when the requests without a connection were meant to be sent
	begin    time.Time       // without a monotonic clock, since the kernel tells the time of day
	next     time.Duration   // when the next request would be sent, from begin, if not at the end of its tick
	end      time.Duration
	delays   [][]time.Duration // of the requests of each window
	failed   int64
	buf      [16 << 10]byte
}

type pacedConn struct {
	fd    int
	meant time.Duration
	got   int
}

// runPaced sends rate requests per second for the time of a turn.
func runPaced(ctx context.Context, t *target, rate float64, turn time.Duration) (load, error) {
	if rate < 1 {
		return load{}, fmt.Errorf("rate %.1f/s: want at least 1", rate)
	}
	p := &paced{interval: time.Duration(float64(time.Second) / rate), end: turn, conns: map[int]*pacedConn{},
		request: []byte("GET " + smallPath + " HTTP/1.1\r\nHost: " + plainHost + "\r\n\r\n"), waiting: make([]time.Duration, 0, int(rate))}
	for range max(1, turn/window) {
		p.delays = append(p.delays, make([]time.Duration, 0, int(2*rate*window.Seconds())))
	}
	defer p.close()
	if err := p.connect(t); err != nil {
		return load{}, err
	}
	if err := p.run(ctx); err != nil {
		return load{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	return p.load(), nil
}

// window is the length of a window: 100 requests slower than its p99 at 20,000 a second.
const window = 500 * time.Millisecond

// load is what was measured.
func (p *paced) load() load {
	all := slices.Concat(p.delays...)
	slices.Sort(all)
	var tails []time.Duration
	for _, delays := range p.delays {
		if len(delays) > 0 {
			slices.Sort(delays)
			tails = append(tails, quantile(delays, 0.99))
		}
	}
	slices.Sort(tails)
	return load{Done: float64(len(all)), Failed: p.failed, Elapsed: time.Since(p.begin), P50: quantile(all, 0.50), P99: quantile(tails, 0.50), Delays: all}
}

// connect opens the connections and learns from one request each how long the answer is.
func (p *paced) connect(t *target) (err error) {
	if p.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return err
	}
	_, port, err := splitAddr(t.HTTP)
	if err != nil {
		return err
	}
	for range connections {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		c := &pacedConn{fd: fd}
		p.conns[fd] = c
		if err := p.first(c, port); err != nil {
			return err
		}
		p.idle = append(p.idle, c)
	}
	return nil
}

func (p *paced) first(c *pacedConn, port int) error {
	patience := syscall.Timeval{Sec: 5}
	err := errors.Join(
		syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience),
		syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &patience),
		syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1),
		syscall.Connect(c.fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		return err
	}
	if _, err := syscall.Write(c.fd, p.request); err != nil {
		return err
	}
	got := 0
	for p.answer == 0 || got < p.answer {
		n, err := syscall.Read(c.fd, p.buf[got:])
		if n <= 0 || err != nil {
			return fmt.Errorf("first answer: read %d: %w", n, err)
		}
		if got += n; p.answer == 0 {
			if p.answer, err = answerLength(p.buf[:got]); err != nil {
				return err
			}
		}
	}
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return err
	}
	return syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)})
}

// answerLength is the length of head and body; zero while the head is not complete. Answers of one proxy are equally long, since only
// Date differs among them.
func answerLength(b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("answer %q: want 200", b[:end])
	}
	body := -1
	for line := range bytes.Lines(b[:end+2]) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if _, err := fmt.Sscan(string(value), &body); err != nil {
				return 0, fmt.Errorf("answer %q: %w", b[:end], err)
			}
		}
	}
	if body < 0 {
		return 0, fmt.Errorf("answer %q: want a Content-Length", b[:end])
	}
	return end + 4 + body, nil
}

// pace is the time between two groups.
const pace = 200 * time.Microsecond

// run is the loop. After the end it waits a second for the answers still out; those that do not come count as failed.
func (p *paced) run(ctx context.Context) error {
	defer urgent()()
	p.begin = time.Now().Round(0)
	events := make([]syscall.EpollEvent, connections)
	for ctx.Err() == nil && len(p.conns) > 0 {
		now := time.Since(p.begin)
		n, err := epollNow(p.epoll, events)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:max(0, n)] {
			p.read(p.conns[int(e.Fd)])
		}
		for ; p.next.Truncate(pace)+pace <= now && p.next < p.end; p.next += p.interval {
			p.waiting = append(p.waiting, p.next.Truncate(pace)+pace)
		}
		p.dispatch()
		if over := now >= p.end; over && (len(p.idle) == len(p.conns) || now > p.end+time.Second) {
			break
		}
		pause(pace - time.Since(p.begin)%pace)
	}
	p.failed += int64(len(p.waiting) + len(p.conns) - len(p.idle))
	return ctx.Err()
}

// dispatch gives waiting requests to idle connections, the longest waiting first.
func (p *paced) dispatch() {
	for len(p.waiting) > 0 && len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		c.meant, c.got = p.waiting[0], 0
		p.waiting = p.waiting[1:]
		if n, err := send(c.fd, p.request); err != nil || n < len(p.request) {
			p.lose(c)
		}
	}
}

func (p *paced) read(c *pacedConn) {
	if c == nil {
		return
	}
	n, at, err := receive(c.fd, p.buf[:])
	if errors.Is(err, syscall.EAGAIN) {
		return
	}
	if err != nil || n <= 0 {
		p.lose(c)
		return
	}
	if c.got == 0 && !bytes.HasPrefix(p.buf[:n], []byte("HTTP/1.1 200 ")) {
		p.lose(c)
		return
	}
	if c.got += n; c.got < p.answer {
		return
	}
	w := min(int(c.meant/window), len(p.delays)-1)
	p.delays[w] = append(p.delays[w], at.Sub(p.begin)-c.meant)
	p.idle = append(p.idle, c)
}

// lose counts a failure and goes on with one connection less.
func (p *paced) lose(c *pacedConn) {
	p.failed++
	delete(p.conns, c.fd)
	p.idle = slices.DeleteFunc(p.idle, func(other *pacedConn) bool { return other == c })
	_ = syscall.Close(c.fd)
}

func (p *paced) close() {
	for fd := range p.conns {
		_ = syscall.Close(fd)
	}
	if p.epoll > 0 {
		_ = syscall.Close(p.epoll)
	}
}

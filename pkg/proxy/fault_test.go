package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// reset closes a connection so that the peer sees an error.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// fault is what an endpoint may do wrong before its answer begins, and what is made of it.
type fault struct {
	name    string
	faulty  func(net.Conn) // nil: nobody listens
	address func(*testing.T) string
	code    int // seen by the client when no other endpoint is left
	reason  policy.Reason
	retried bool // a GET is sent to another endpoint
	post    bool // a POST is, too: it provably reached no application
}

func answering(text string, after func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, text)
		if after != nil {
			after(c)
		}
	}
}

// stall keeps the connection open, reads and says nothing.
func stall(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// faults is the table of what endpoints do wrong before their answer begins.
func faults() []fault {
	list := []fault{
		{name: "refused", code: 502, reason: policy.EndpointRefused, retried: true, post: true},
		{name: "connecting takes too long", address: deaf, code: 504, reason: policy.EndpointTimeout, retried: true, post: true},
		{name: "reset within the request", faulty: func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); reset(c) }, code: 502, reason: policy.EndpointReset, retried: true},
		{name: "closed after the request", faulty: answering("", nil), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "reset after the request", faulty: answering("", reset), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "closed within the head", faulty: answering("HTTP/1.1 200 OK\r\nContent-", nil), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "reset within the head", faulty: answering("HTTP/1.1 200 OK\r\nContent-", reset), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "half-closed without an answer", faulty: func(c net.Conn) { readHead(c); _ = c.(*net.TCPConn).CloseWrite(); stall(c) }, code: 502, reason: policy.EndpointReset, retried: true},
		{name: "half-closed within the head", faulty: answering("HTTP/1.1 200 OK\r\n", func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); stall(c) }), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "closed after an interim answer", faulty: answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", nil), code: 502, reason: policy.EndpointReset, retried: true},
		{name: "stalled", faulty: answering("", stall), code: 504, reason: policy.EndpointTimeout, retried: true},
		{name: "stalled within the head", faulty: answering("HTTP/1.1 200 OK\r\nConte", stall), code: 504, reason: policy.EndpointTimeout, retried: true},
	}
	for _, m := range malformed() {
		list = append(list, fault{name: m.name, faulty: answering(m.head+"\r\n\r\n", stall), code: 502, reason: policy.BadResponse})
	}
	return list
}

// malformed are heads of which no answer can be made. They are not retried: the application has seen the request, and is likely to
// answer so again.
func malformed() []struct{ name, head string } {
	return []struct{ name, head string }{
		{"not HTTP", "SSH-2.0-OpenSSH"},
		{"TLS alert", "\x15\x03\x01\x00\x02\x02\x46"},
		{"HTTP/0.9", "<html>hello</html>"},
		{"another version", "HTTP/2.0 200 OK"},
		{"status of two digits", "HTTP/1.1 20 OK"},
		{"status that is no number", "HTTP/1.1 OK 200"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2"},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1"},
		{"length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"},
		{"unknown transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip"},
		{"no colon", "HTTP/1.1 200 OK\r\nNonsense"},
		{"space before the colon", "HTTP/1.1 200 OK\r\nServer : x"},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nServer: a\x00b"},
		{"folded line", "HTTP/1.1 200 OK\r\nServer: a\r\n b"},
		{"head over the limit", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 100<<10)},
		{"unasked 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x"},
	}
}

// deaf is an address where connections are never made: its accept queue is full.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this system accepts connections beyond the backlog")
	return ""
}

// start gives the address of an endpoint with the fault.
func (f *fault) start(t *testing.T) string {
	switch {
	case f.address != nil:
		return f.address(t)
	case f.faulty == nil:
		return nowhere(t)
	}
	return raw(t, f.faulty)
}

// limits are short where the fault is one of time.
func (f *fault) limits() func(*route.Table, *route.Route) {
	return with(func(s *policy.Set) {
		if f.reason == policy.EndpointTimeout {
			s.Timeouts.Read, s.Timeouts.Connect = time.Second, time.Second
		}
	})
}

// TestFaultsOfEndpoints: what the client sees of a fault, that its own connection goes on, that the endpoint's is not kept, and that
// the request is sent to every other endpoint once, if to any.
func TestFaultsOfEndpoints(t *testing.T) {
	for _, f := range faults() {
		for _, method := range []string{"GET", "POST"} {
			t.Run(f.name+", alone, "+method, func(t *testing.T) { t.Parallel(); f.alone(t, method) })
			t.Run(f.name+", two others, "+method, func(t *testing.T) { t.Parallel(); f.amongOthers(t, method) })
		}
	}
}

func requestOf(method string) string {
	body := ""
	if method == "POST" {
		body = "hello"
	}
	return fmt.Sprintf("%s / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
}

func (f *fault) alone(t *testing.T, method string) {
	r := newRig(t, tableOf([]string{f.start(t)}, f.limits()))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	from := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, requestOf(method))
	res, _ := readFinal(t, from)
	status(t, res, f.code, f.reason)
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: other.test\r\n\r\n")
	if again, _ := readResponse(t, from, false); again.StatusCode != 200 {
		t.Errorf("the next request on the client's connection: %s", again.Status)
	}
	tries := 1
	if f.retried && method == "GET" || f.post {
		tries = 3
	}
	if rec := r.record(1); rec.Error == "" || len(rec.Tries) != tries || rec.Tries[0].Status != 0 {
		t.Errorf("record %+v", rec)
	}
	s := r.pool.Snapshot()
	if len(s) != 1 || s[0].Failures != int64(tries) || s[0].State != "failing" || s[0].InFlight != 0 || s[0].Connections != 0 || s[0].Idle != 0 {
		t.Errorf("pool %+v", s)
	}
}

func (f *fault) amongOthers(t *testing.T, method string) {
	addresses := []string{f.start(t), f.start(t), app(t, echo)}
	r := newRig(t, tableOf(addresses, f.limits()))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, requestOf(method))
	res, _ := readFinal(t, bufio.NewReader(conn))
	rec, want := r.record(1), addresses[:1]
	if f.retried && method == "GET" || f.post {
		status(t, res, 200, "")
		want = addresses
	} else {
		status(t, res, f.code, f.reason)
	}
	if len(rec.Tries) != len(want) || len(r.retries()) != len(want)-1 {
		t.Fatalf("tries %v after %v, want %v", rec.Tries, r.retries(), want)
	}
	for i, try := range rec.Tries {
		if try.Address != want[i] || i > 0 && r.retries()[i-1] != f.reason {
			t.Errorf("try %d went to %s after %v, want %s", i, try.Address, r.retries(), want[i])
		}
	}
}

// readFinal reads past informational responses.
func readFinal(t *testing.T, from *bufio.Reader) (*http.Response, string) {
	for {
		if res, body := readResponse(t, from, false); res.StatusCode >= 200 {
			return res, body
		}
	}
}

// TestSlowEndpoints: the limits are between two reads, as nginx's are, so an endpoint that drips is slow and not broken.
func TestSlowEndpoints(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		for i := range len(answer) {
			if _, err := io.WriteString(c, answer[i:i+1]); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
		stall(c)
	})
	r := newRig(t, tableOf([]string{upstream}))
	if res, body := r.get("/"); res.StatusCode != 200 || body != "0123456789" {
		t.Errorf("%s %q", res.Status, body)
	}
	if s := r.pool.Snapshot(); s[0].Idle != 1 || s[0].Failures != 0 {
		t.Errorf("pool %+v", s)
	}
}

// TestFaultsAfterTheHead: the status has gone out; all that is left is that the client sees that the answer is not complete.
func TestFaultsAfterTheHead(t *testing.T) {
	first := "4000\r\n" + strings.Repeat("x", 0x4000) // does not fit the buffer, so the head goes out
	for _, f := range []struct {
		name, text string
		after      func(net.Conn)
		reason     policy.Reason
	}{
		{"closed within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), func(c net.Conn) { _ = c.Close() }, policy.EndpointReset},
		{"reset within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), reset, policy.EndpointReset},
		{"stalled within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), stall, policy.EndpointTimeout},
		{"closed between chunks", "Transfer-Encoding: chunked\r\n\r\n" + first + "\r\n", func(c net.Conn) { _ = c.Close() }, policy.EndpointReset},
		{"half-closed within the body", "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000), func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); stall(c) }, policy.EndpointReset},
		{"reset between chunks", "Transfer-Encoding: chunked\r\n\r\n" + first + "\r\n", reset, policy.EndpointReset},
		{"closed within the trailer", "Transfer-Encoding: chunked\r\n\r\n" + first + "\r\n0\r\nX: ", func(c net.Conn) { _ = c.Close() }, policy.EndpointReset},
		{"chunk without its end", "Transfer-Encoding: chunked\r\n\r\n" + first + "world", stall, policy.BadResponse},
		{"bad chunk", "Transfer-Encoding: chunked\r\n\r\n" + first + "\r\nzz\r\n", stall, policy.BadResponse},
	} {
		t.Run(f.name, func(t *testing.T) {
			upstream := raw(t, func(c net.Conn) {
				readHead(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+f.text)
				f.after(c)
			})
			r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) {
				if f.reason == policy.EndpointTimeout {
					s.Timeouts.Read = time.Second // for the head too, which must come in time
				}
			})))
			conn, err := net.Dial("tcp", r.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
			got, _ := io.ReadAll(conn)
			if strings.Contains(string(got), "\r\n0\r\n\r\n") || len(got) > 60000 {
				t.Errorf("the answer looks complete: %d bytes, %.200q", len(got), got)
			}
			rec := r.record(1)
			if rec.Status != 200 || rec.Reason != f.reason || rec.Error == "" {
				t.Errorf("record %+v", rec)
			}
			if s := r.pool.Snapshot(); s[0].Failures != 1 || s[0].InFlight != 0 || s[0].Connections != 0 {
				t.Errorf("pool %+v", s)
			}
		})
	}
}

func TestTriesAreBounded(t *testing.T) {
	dead := []string{nowhere(t), nowhere(t), nowhere(t), nowhere(t), nowhere(t)}
	for _, c := range []struct {
		name             string
		set              func(*policy.Set)
		tries, endpoints int
	}{
		{"three by default", func(*policy.Set) {}, 3, 3},
		{"all", func(s *policy.Set) { s.Retry.Tries = 0 }, 5, 5},
		{"more than there are", func(s *policy.Set) { s.Retry.Tries = 50 }, 50, 5},
		{"more than the budget has", func(s *policy.Set) { s.Retry.Tries = 500 }, 101, 5},
		{"off", func(s *policy.Set) { s.Retry.Off = true }, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, tableOf(dead, with(c.set)))
			res, _ := r.get("/")
			status(t, res, 502, policy.EndpointRefused)
			rec := r.record(1)
			seen := map[string]bool{}
			for i, try := range rec.Tries {
				seen[try.Address] = true
				if i > 0 && try.Address == rec.Tries[i-1].Address {
					t.Errorf("try %d went to the endpoint of the one before", i)
				}
			}
			if len(rec.Tries) != c.tries || len(seen) != c.endpoints {
				t.Errorf("%d tries of %d endpoints, want %d of %d", len(rec.Tries), len(seen), c.tries, c.endpoints)
			}
		})
	}
}

// TestKeptConnections: what an endpoint may do to a connection between two requests. The next one is served by a new connection,
// whatever its method, unless the endpoint has read it; nothing is counted against the endpoint, and nobody is given bytes that belong
// to no request of theirs.
func TestKeptConnections(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	unasked := make(chan struct{}, 16) // a 408 has been sent that answers nothing
	next := func(then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, ok); readHead(c); then(c) }
	}
	for _, k := range []struct {
		name     string
		upstream func(net.Conn)
		kept     bool // whether the connection is there to be tried again
		read     bool // the endpoint reads the request before it ends
	}{
		{"closed at once", answering(ok, nil), false, false},
		{"reset at once", answering(ok, reset), false, false},
		{"closed when the next request comes", next(func(net.Conn) {}), true, true},
		{"reset when the next request comes", next(reset), true, true},
		{"closed as announced", answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", stall), false, false},
		{"HTTP/1.0", answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", stall), false, false},
		{"more bytes than its length", answering(ok+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", stall), false, false},
		{"408 for want of a request", answering(ok, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			unasked <- struct{}{}
			stall(c)
		}), false, false},
		{"half-closed", answering(ok, func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); stall(c) }), false, false},
	} {
		for _, method := range []string{"GET", "POST"} {
			if k.read && method == "POST" {
				continue // see TestReadAndNotAnswered
			}
			t.Run(k.name+", "+method, func(t *testing.T) {
				if !strings.HasPrefix(k.name, "408") { // they share unasked
					t.Parallel()
				}
				r := newRig(t, tableOf([]string{raw(t, k.upstream)}))
				for range 6 {
					if res, body := r.send(requestOf(method)); res.StatusCode != 200 || body != "ok" {
						t.Fatalf("%s %q", res.Status, body)
					}
					if strings.HasPrefix(k.name, "408") {
						<-unasked // one that came after a POST would be its answer
					}
				}
				s := r.pool.Snapshot()[0]
				if s.Reused > 0 && !k.kept {
					t.Logf("%d requests met a kept connection before its end was seen", s.Reused)
				}
				if s.State != "ok" || s.InFlight != 0 {
					t.Errorf("pool %+v", s)
				}
			})
		}
	}
}

// TestReadAndNotAnswered: an endpoint that reads a request on a kept connection and ends may have done what the request wants. Only
// what may be done twice is sent to another one.
func TestReadAndNotAnswered(t *testing.T) {
	t.Run("closed", func(t *testing.T) { readAndNotAnswered(t, func(net.Conn) {}) })
	t.Run("reset", func(t *testing.T) { readAndNotAnswered(t, reset) })
}

func readAndNotAnswered(t *testing.T, end func(net.Conn)) {
	worked := make(chan string, 8)
	dies := func(c net.Conn) {
		_, from := readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if again, err := http.ReadRequest(from); err == nil {
			_, _ = io.Copy(io.Discard, again.Body)
			worked <- again.Method
			end(c)
		}
	}
	for _, c := range []struct {
		method string
		change func(*policy.Set)
		code   int
	}{
		{"GET", func(*policy.Set) {}, 200},
		{"PUT", func(*policy.Set) {}, 200},
		{"POST", func(*policy.Set) {}, 502},
		{"POST", func(s *policy.Set) { s.Retry.NonIdempotent = true }, 200},
		{"GET", func(s *policy.Set) { s.Retry.Off = true }, 502},
	} {
		r := newRig(t, tableOf([]string{raw(t, dies)}, with(c.change)))
		if res, _ := r.send(requestOf("GET")); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		if res, _ := r.send(requestOf(c.method)); res.StatusCode != c.code {
			t.Errorf("%s: %s, want %d", c.method, res.Status, c.code)
		} else if c.code != 200 {
			status(t, res, 502, policy.EndpointReset)
		}
		if got := <-worked; got != c.method {
			t.Errorf("the endpoint worked on %s, want %s", got, c.method)
		}
	}
}

// TestAnsweredBeforeRead: a connection on which the request was not sent to its end is not kept.
func TestAnsweredBeforeRead(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		stall(c)
	})
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) { s.Body.MaxSize = 0 })))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\nthe beginning")
	if res, body := readResponse(t, bufio.NewReader(conn), false); res.StatusCode != 403 || body != "no" {
		t.Errorf("%s %q", res.Status, body)
	}
	_ = conn.Close()
	r.record(1)
	eventually(t, func() bool { s := r.pool.Snapshot()[0]; return s.Connections == 0 && s.Idle == 0 })
}

func TestDeniedAddresses(t *testing.T) {
	r := newRigWith(t, tableOf([]string{app(t, echo)}), poolDefaults())
	res, _ := r.get("/")
	status(t, res, 503, policy.EndpointDenied)
}

// TestEarlyAnswers: an endpoint that refuses a body without reading it is heard.
func TestEarlyAnswers(t *testing.T) {
	upstream := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
	})
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) { s.Body.MaxSize = 0 })))
	const size = 4 << 20
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n", size)
		_, _ = io.CopyN(conn, zeros{}, size)
	}()
	res, body := readResponse(t, bufio.NewReader(conn), false)
	if res.StatusCode != 403 || body != "no" {
		t.Errorf("%s %q", res.Status, body)
	}
}

// TestEndpointThatDoesNotRead: the send timeout.
func TestEndpointThatDoesNotRead(t *testing.T) {
	hold := make(chan struct{})
	upstream := raw(t, func(c net.Conn) { <-hold })
	defer close(hold)
	r := newRig(t, tableOf([]string{upstream}, with(func(s *policy.Set) {
		s.Body.MaxSize = 0
		s.Timeouts = policy.Timeouts{Connect: time.Second, Send: 200 * time.Millisecond, Read: 500 * time.Millisecond}
	})))
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n", 64<<20)
		_, _ = io.CopyN(conn, zeros{}, 64<<20)
	}()
	res, _ := readResponse(t, bufio.NewReader(conn), false)
	status(t, res, 504, policy.EndpointTimeout)
}

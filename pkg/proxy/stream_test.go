package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// passTable is a Table with one host, whose TLS is passed through to its backend.
func passTable(addresses []string, change func(*route.Stream), options ...func(*route.Table, *route.Route)) *route.Table {
	table := tableOf(addresses, options...)
	root := table.Lookup(route.Query{Host: "app.test", Path: "/"}).Route
	s := &route.Stream{Policy: root.Policy, Origin: policy.Origin{Object: root.Ingress}}
	if change != nil {
		change(s)
	}
	host := *table.Hosts.Find("app.test")
	host.Passthrough = s
	table.Passes, table.Hosts = true, table.Hosts.With(map[string]*route.Host{"app.test": &host})
	return table
}

// pass gives a new connection to the proxy and returns the client's end.
func (r *rig) pass(name string) *net.TCPConn {
	r.t.Helper()
	l := listen(r.t)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if !r.proxy.Pass(server, name) {
			server.Close()
		}
	}()
	r.t.Cleanup(func() { client.Close(); <-ended })
	return client.(*net.TCPConn)
}

// shouter answers what it gets in capitals when the client has said all.
func shouter(t *testing.T) string {
	return raw(t, func(c net.Conn) {
		text, _ := io.ReadAll(c)
		_, _ = io.WriteString(c, strings.ToUpper(string(text)))
	})
}

func TestStreamBothWays(t *testing.T) {
	r := newRig(t, passTable([]string{shouter(t)}, nil))
	if !r.proxy.Passes() {
		t.Fatal("nothing is passed through")
	}
	conn := r.pass("App.Test.")
	text := strings.Repeat("hello ", 100_000)
	go func() { _, _ = io.WriteString(conn, text); _ = conn.CloseWrite() }() // a half-close goes through
	if got, err := io.ReadAll(conn); string(got) != strings.ToUpper(text) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
	rec := r.record(1)
	if rec.Status != 200 || rec.Reason != "" || rec.Host != "app.test" || rec.Scheme != "passthrough" || rec.Received != int64(len(text)) || rec.Sent != int64(len(text)) ||
		len(rec.Tries) != 1 || rec.Client != "127.0.0.1" {
		t.Errorf("record %+v", rec)
	}
}

func TestStreamOfAnotherName(t *testing.T) {
	r := newRig(t, passTable([]string{shouter(t)}, nil))
	for _, name := range []string{"other.test", ""} {
		if got, _ := io.ReadAll(r.pass(name)); len(got) > 0 {
			t.Errorf("%q was passed on: %q", name, got)
		}
	}
}

// An endpoint that refuses is passed over; if all do, the connection is closed, with the reason in the record.
func TestStreamTriesOthers(t *testing.T) {
	r := newRig(t, passTable([]string{nowhere(t), nowhere(t), shouter(t)}, nil))
	for range 3 {
		conn := r.pass("app.test")
		_, _ = io.WriteString(conn, "hello")
		_ = conn.CloseWrite()
		if got, _ := io.ReadAll(conn); string(got) != "HELLO" {
			t.Errorf("got %q", got)
		}
	}
	for reason, table := range map[policy.Reason]*route.Table{
		policy.EndpointRefused:  passTable([]string{nowhere(t)}, nil),
		policy.NoEndpoints:      passTable(nil, nil),
		policy.NoReadyEndpoints: passTable(nil, nil, func(t *route.Table, _ *route.Route) { t.Backends[0].Reason = policy.NoReadyEndpoints }),
		policy.NoService:        passTable([]string{shouter(t)}, func(s *route.Stream) { s.Backend = -1 }),
		policy.BadAnnotation:    passTable([]string{shouter(t)}, func(s *route.Stream) { s.Broken = policy.BadAnnotation }),
	} {
		r := newRig(t, table)
		if got, _ := io.ReadAll(r.pass("app.test")); len(got) > 0 {
			t.Errorf("%s: got %q", reason, got)
		}
		if rec := r.record(1); rec.Reason != reason || rec.Status != reason.Explain().Status {
			t.Errorf("record %+v, want %s", rec, reason)
		}
	}
}

// An endpoint that keeps refusing connections is left alone, and the observer is told, as for requests.
func TestStreamEjectionIsTold(t *testing.T) {
	r := newRig(t, passTable([]string{shouter(t), nowhere(t), shouter(t)}, nil, with(func(s *policy.Set) { s.Health.MaxFails, s.Health.EjectFor = 2, time.Hour })))
	for range 12 {
		conn := r.pass("app.test")
		_ = conn.CloseWrite()
		_, _ = io.ReadAll(conn)
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.ejected != 1 {
		t.Errorf("told %d times", r.log.ejected)
	}
}

// A connection on which nothing moves ends; one on which something does lives on.
func TestStreamIdle(t *testing.T) {
	r := newRig(t, passTable([]string{shouter(t)}, nil, with(func(s *policy.Set) { s.Stream.Idle = 50 * time.Millisecond })))
	conn := r.pass("app.test")
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if rec := r.record(1); rec.Reason != "" || rec.Error != "" {
		t.Errorf("record %+v", rec)
	}
}

// The endpoint learns the client's address, and that which the client connected to, in the version it is asked for.
func TestStreamIntroducesTheClient(t *testing.T) {
	for _, version := range []byte{1, 2} {
		headers := make(chan *proxyproto.Header, 1)
		address := raw(t, func(c net.Conn) {
			in := bufio.NewReader(c)
			header, err := proxyproto.Read(in)
			if err != nil {
				t.Error(err)
			}
			headers <- header
			rest, _ := io.ReadAll(in)
			fmt.Fprintf(c, "%d", len(rest))
		})
		r := newRig(t, passTable([]string{address}, func(s *route.Stream) { s.ProxyProtocol = version }))
		conn := r.pass("app.test")
		_, _ = io.WriteString(conn, "hello")
		_ = conn.CloseWrite()
		if got, _ := io.ReadAll(conn); string(got) != "5" {
			t.Errorf("version %d: the endpoint read %s bytes after the header", version, got)
		}
		header := <-headers
		if header.Version != version || header.SourceAddr.String() != conn.LocalAddr().String() || header.DestinationAddr.String() != conn.RemoteAddr().String() {
			t.Errorf("header %+v, want version %d from %s to %s", header, version, conn.LocalAddr(), conn.RemoteAddr())
		}
	}
}

// Request after a request: a client that was let in for another host cannot reach the application behind its back.
func TestMisdirectedRequest(t *testing.T) {
	r := newRig(t, passTable([]string{app(t, echo)}, nil))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		status(t, res, 421, policy.Misdirected)
	}
	if res, _ := r.get("/"); res.StatusCode != 200 {
		t.Errorf("by plain HTTP: %d", res.StatusCode)
	}
}

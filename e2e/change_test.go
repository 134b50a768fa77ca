//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// TestChange changes every kind of object under load.
func TestChange(t *testing.T) {
	s := newScene(t)
	s.backend("steady")
	s.backend("blue")
	s.backend("green")
	s.route("steady", "steady.example", "/", "steady")
	s.route("change", "change.example", "/", "blue")
	u := s.usher()
	u.expect("http://change.example/", "blue")
	l := u.load("http://steady.example/")
	upgraded := u.upgrade("upgrade.example", s)

	s.route("change", "change.example", "/", "green")
	u.expect("http://change.example/", "green")

	s.remove("Service", "green")
	u.expect("http://change.example/", "503 no-service")
	s.service("green")
	u.expect("http://change.example/", "green")

	s.slice("green", "")
	u.expect("http://change.example/", "503 no-endpoints")
	host := address()
	s.listen("moved", host+":8080")
	s.slice("green", fmt.Sprintf("{addresses: [%s]}", host))
	u.expect("http://change.example/", "moved")

	s.remove("Ingress", "change")
	u.expect("http://change.example/", "404 no-host")
	if err := upgraded("still there?"); err != nil {
		t.Errorf("a connection made before the changes: %v", err)
	}
	l.finish(t)
	if made, err := u.metric("usher_change_to_live_seconds_count"); err != nil || made == 0 {
		t.Errorf("changes measured: %v, %v", made, err)
	}
}

// upgrade opens a connection for another protocol through Usher to a backend
// that repeats lines, and returns a function that sends one and wants it back.
func (u *usher) upgrade(host string, s *scene) func(line string) error {
	u.t.Helper()
	at := address()
	b, err := cluster.StartBackend("repeat", at+":8080", http.HandlerFunc(repeat))
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(b.Close)
	s.service("repeat")
	s.slice("repeat", fmt.Sprintf("{addresses: [%s]}", at))
	s.route("repeat", host, "/repeat", "repeat")
	var conn net.Conn
	var lines *bufio.Reader
	await(u.t, func() error {
		if conn, err = net.Dial("tcp", u.address+":80"); err != nil {
			return err
		}
		fmt.Fprintf(conn, "GET /repeat HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: repeat\r\n\r\n", host)
		lines = bufio.NewReader(conn)
		response, err := http.ReadResponse(lines, nil)
		if err != nil {
			conn.Close()
			return err
		}
		if response.StatusCode != http.StatusSwitchingProtocols {
			conn.Close()
			return fmt.Errorf("upgrade: %s", response.Status)
		}
		return nil
	})
	u.t.Cleanup(func() { conn.Close() })
	return func(line string) error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(conn, line); err != nil {
			return err
		}
		got, err := lines.ReadString('\n')
		if err == nil && got != line+"\n" {
			err = fmt.Errorf("sent %q, got back %q", line, got)
		}
		return err
	}
}

func repeat(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "repeat" {
		http.Error(w, "want Upgrade: repeat", http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: repeat\r\n\r\n")
	for {
		line, err := buffered.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(conn, line)
	}
}

// TestOutage kills the API server and starts it again, under load.
func TestOutage(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "outage.example", "/", "web")
	u := s.start("--publish-status-address", "198.18.0.12")
	u.expect("http://outage.example/", "web")
	s.awaitStatus("web", "198.18.0.12")
	l := u.load("http://outage.example/")
	l.more(t, 100)

	theCluster.KillAPIServer()
	u.awaitMetric("usher_api_server_connected", 0)
	if err := u.ready(t.Context()); err != nil {
		t.Errorf("without the API server: %v", err)
	}
	l.more(t, 500)

	if err := theCluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.awaitMetric("usher_api_server_connected", 1)
	l.more(t, 100)
	s.route("after", "outage.example", "/after", "missing")
	u.expect("http://outage.example/after", "503 no-service")
	s.awaitStatus("after", "198.18.0.12")
	l.finish(t)
}

// TestLateAPIServer starts Usher when there is no API server yet: it must not
// be Ready, and must become so.
func TestLateAPIServer(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("web", "late.example", "/", "web")
	theCluster.KillAPIServer()
	u := s.launch()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := u.process.Await(ctx, u.alive); err != nil {
		t.Error(err)
	}
	if err := u.ready(t.Context()); err == nil {
		t.Error("ready without having seen an object")
	}
	if err := theCluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.process.Await(ctx, u.ready); err != nil {
		t.Fatal(err)
	}
	// Ready means complete: the first answer is right.
	if err := answers(u.client, "http://late.example/", "web"); err != nil {
		t.Error(err)
	}
}

// TestLeader kills the replica that writes status.
func TestLeader(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.route("first", "leader.example", "/", "web")
	flags := []string{"--publish-status-address", "198.18.0.13"}
	one := s.start(flags...)
	one.awaitMetric("usher_leader", 1)
	s.awaitStatus("first", "198.18.0.13")
	two := s.usher(flags...)
	two.awaitMetric("usher_leader", 0)
	two.expect("http://leader.example/", "web")
	before := s.holder()
	l := two.load("http://leader.example/")

	one.process.Kill()
	began := time.Now()
	two.awaitMetric("usher_leader", 1)
	t.Logf("another replica leads after %v", time.Since(began))
	s.route("second", "leader.example", "/second", "web")
	s.awaitStatus("second", "198.18.0.13")
	if after := s.holder(); after == before {
		t.Errorf("the Lease is still held by %s", after)
	}
	l.finish(t)
}

// TestHandover ends the leader in good order: the Lease is given up, not run out.
func TestHandover(t *testing.T) {
	s := newScene(t)
	flags := []string{"--publish-status-address", "198.18.0.14"}
	one := s.start(flags...)
	one.awaitMetric("usher_leader", 1)
	two := s.usher(flags...)
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	if holder := s.holder(); holder != "" && holder != two.name {
		t.Errorf("the Lease is still held by %s, which has ended", holder)
	}
	two.awaitMetric("usher_leader", 1)
}

// holder is who has the Lease.
func (s *scene) holder() string {
	s.t.Helper()
	lease, err := s.client.CoordinationV1().Leases(s.system).Get(s.t.Context(), "usher-leader", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// TestShutdown ends Usher while a request is in flight.
func TestShutdown(t *testing.T) {
	s := newScene(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	at := address()
	b, err := cluster.StartBackend("slow", at+":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			close(arrived)
			<-release
		}
		fmt.Fprintln(w, "done")
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	s.service("slow")
	s.slice("slow", fmt.Sprintf("{addresses: [%s]}", at))
	s.route("slow", "shutdown.example", "/", "slow")
	u := s.start()
	u.expect("http://shutdown.example/", "200 ")
	answered := make(chan error, 1)
	go func() {
		a, err := u.get("http://shutdown.example/slow")
		if err == nil && a.body != "done\n" {
			err = fmt.Errorf("answered %s: %s", a, a.body)
		}
		answered <- err
	}()
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- u.stop() }()
	await(t, func() error {
		if u.ready(t.Context()) == nil {
			return fmt.Errorf("still ready after SIGTERM")
		}
		return nil
	})
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

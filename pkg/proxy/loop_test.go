package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// circle has the backend of a table lead back to the proxy, through a listener that passes bytes on, as a load balancer does. It
// counts the connections.
func circle(t *testing.T, to func() string) (address string, count *atomic.Int64) {
	count = &atomic.Int64{}
	return raw(t, func(c net.Conn) {
		count.Add(1)
		on, err := net.Dial("tcp", to())
		if err != nil {
			t.Error(err)
			return
		}
		defer on.Close()
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(on, c); _ = on.(*net.TCPConn).CloseWrite() })
		_, _ = io.Copy(c, on)
		_ = c.Close()
		both.Wait()
	}), count
}

// TestALoopEndsAtOnce: a Service whose endpoint is a load balancer in front of Usher. The request passes once, and its body too.
func TestALoopEndsAtOnce(t *testing.T) {
	var front atomic.Pointer[rig]
	address, count := circle(t, func() string { return front.Load().plain })
	r := newRig(t, tableOf([]string{address}))
	front.Store(r)
	for i, request := range []string{
		"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, cdn-loop\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
		"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		res, _ := r.send(request)
		status(t, res, http.StatusLoopDetected, policy.LoopDetected)
		r.record(2 * (i + 1))
		r.log.mu.Lock()
		if n := len(r.log.records); n != 2*(i+1) {
			t.Errorf("%q: %d requests in all, want 2 for each", request, n)
		}
		r.log.mu.Unlock()
	}
	if count.Load() > 4 {
		t.Errorf("%d connections", count.Load())
	}
}

// TestAStreamToItselfEnds: bytes that are passed on carry no mark; the connection is known by its two ends.
func TestAStreamToItselfEnds(t *testing.T) {
	l := listen(t)
	r := newRig(t, passTable([]string{l.Addr().String()}, nil))
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { r.proxy.Pass(conn, "app.test") })
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	_ = conn.Close()
	_ = l.Close()
	passing.Wait()
	loops := 0
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, record := range r.log.records {
		if record.Reason == policy.LoopDetected && record.Status == http.StatusLoopDetected {
			loops++
		}
	}
	if loops == 0 {
		t.Errorf("no loop was found in %+v", r.log.records)
	}
}

// TestARequestMayPassTwice: a gateway behind Usher that sends a request on to another host of Usher, with all its fields, is no loop; one
// that goes on and on is.
func TestARequestMayPassTwice(t *testing.T) {
	var front atomic.Pointer[rig]
	gateway := app(t, func(w http.ResponseWriter, req *http.Request) {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: front.Load().plain})
		host := req.URL.Query().Get("to")
		req.Host = host
		req.URL.RawQuery = ""
		p.ServeHTTP(w, req)
	})
	table := tableOf([]string{gateway})
	var hosts []*route.Host
	add := func(host, address string) {
		table.Backends = append(table.Backends, backendOf("demo/"+host+":80", address))
		rt := &route.Route{Host: host, Path: "/", Type: route.Prefix, Policy: policy.Default(), Backend: len(table.Backends) - 1}
		hosts = append(hosts, &route.Host{Name: host, Paths: route.NewPaths([]*route.Route{rt})})
	}
	add("end.test", app(t, func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, len(req.Header["Cdn-Loop"])) }))
	for i := range 12 {
		next := fmt.Sprintf("hop%d.test", i+1)
		add(fmt.Sprintf("hop%d.test", i), app(t, func(w http.ResponseWriter, req *http.Request) {
			p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: front.Load().plain})
			req.Host = next
			p.ServeHTTP(w, req)
		}))
	}
	add("hop12.test", app(t, func(http.ResponseWriter, *http.Request) { t.Error("went through") }))
	table.Hosts = route.NewHosts(append(hosts, table.Hosts.Find("app.test")))
	r := newRig(t, table)
	front.Store(r)
	if res, body := r.get("/?to=end.test"); res.StatusCode != 200 || body != "2" {
		t.Errorf("%s %q", res.Status, body)
	}
	res, _ := r.send("GET / HTTP/1.1\r\nHost: hop0.test\r\nConnection: close\r\n\r\n")
	status(t, res, http.StatusLoopDetected, policy.LoopDetected)
}

// TestNobodyForgesALoop: what a client writes into CDN-Loop denies nothing, unless it is what an endpoint was told, and then nobody
// but that request.
func TestNobodyForgesALoop(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	_, body := r.get("/")
	mark := valueOf(t, body, "Cdn-Loop: ")
	other := strings.Repeat("0", 32)
	name, to, _ := strings.Cut(mark, ";")
	for _, forged := range []string{
		"usher", "usher-" + other, "usher-" + other + ";" + to, strings.Repeat("usher-"+other+", ", 100) + "x", "cloudflare; loops=20", ";" + to, "",
	} {
		res, body := r.get("/", "CDN-Loop: "+forged)
		status(t, res, 200, "")
		wants(t, body, "Cdn-Loop: "+mark+"\r\n")
		if forged != "" {
			wants(t, body, "Cdn-Loop: "+forged+"\r\n")
		}
	}
	for _, lines := range [][]string{{"CDN-Loop: " + mark}, {"CDN-Loop: a, " + mark + ", b"}, {"CDN-Loop: a", "cdn-loop: " + mark},
		{"CDN-Loop: " + strings.Repeat(name+";to=0, ", 8)}} {
		res, _ := r.get("/", lines...)
		status(t, res, http.StatusLoopDetected, policy.LoopDetected)
	}
	res, _ := r.get("/")
	status(t, res, 200, "")
}

// valueOf is the rest of the line that begins with name.
func valueOf(t *testing.T, text, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, name)
	if !ok {
		t.Fatalf("no %q in\n%s", name, text)
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

package pool

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, e *Endpoint) string {
	t.Helper()
	req := &http.Request{Method: http.MethodGet, Host: "app.test", URL: &url.URL{Path: "/"}, Header: http.Header{}}
	e.Begin()
	res, err := e.RoundTrip(req, &Call{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	e.End(err == nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestReferences(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer s.Close()
	p := New(Options{AllowLoopback: true})
	defer p.Close()
	k := Key{Address: s.Listener.Addr().String()}
	first, second := p.Endpoint(k), p.Endpoint(k)
	if first != second {
		t.Fatal("two endpoints for one key")
	}
	for range 2 {
		if get(t, first) != "hello" {
			t.Fatal("no answer")
		}
	}
	if s := first.Status(); s.Dials != 1 || s.Reused != 1 || s.Idle != 1 || s.Picks != 2 || s.InFlight != 0 || s.State != "ok" {
		t.Errorf("%+v", s)
	}
	p.Release(first)
	if s := second.Status(); s.Idle != 1 {
		t.Errorf("an endpoint in use lost its connections: %+v", s)
	}
	p.Release(second)
	if s := second.Status(); s.Idle != 0 || s.Connections != 0 || len(p.Snapshot()) != 0 {
		t.Errorf("an endpoint that left kept connections: %+v", s)
	}
	if get(t, second) != "hello" { // a request that chose it before it left
		t.Error("no answer")
	}
	if again := p.Endpoint(k); again == first || again.Status().Picks != 0 {
		t.Error("what left came back with its past")
	} else {
		p.Release(again)
	}
}

func TestGroups(t *testing.T) {
	p := New(Options{})
	g := p.Group("demo/app:80")
	if g.Turn() != 0 || p.Group("demo/app:80").Turn() != 1 {
		t.Error("the turn is not shared")
	}
	p.ReleaseGroup(g)
	p.ReleaseGroup(g)
	if p.Group("demo/app:80").Turn() != 0 {
		t.Error("a group that nobody refers to was remembered")
	}
}

func TestFailuresCountUntilTheNextSuccess(t *testing.T) {
	e := New(Options{}).Endpoint(Key{Address: "10.0.0.1:80"})
	for _, ok := range []bool{false, false} {
		e.Begin()
		e.End(ok)
	}
	e.Begin()
	e.Leave()
	if s := e.Status(); s.Failures != 2 || s.State != "failing" || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	e.Begin()
	e.End(true)
	if s := e.Status(); s.Failures != 0 || s.Failed != 2 || s.State != "ok" {
		t.Errorf("%+v", s)
	}
}

// TestTargetsOfTwoSlashes: the library would read them as an authority.
func TestTargetsOfTwoSlashes(t *testing.T) {
	for opaque, want := range map[string]string{"/a%2Fb": "/a%2Fb", "//a//%41": "//a//%41", "/": "/"} {
		u := target(&url.URL{Scheme: "http", Host: "h", Opaque: opaque, RawQuery: "q=%41"})
		if got := u.RequestURI(); got != want+"?q=%41" {
			t.Errorf("%s became %s", opaque, got)
		}
	}
}

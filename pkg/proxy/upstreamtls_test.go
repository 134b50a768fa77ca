package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// secureApp is an application behind TLS that says what it sees of its clients' TLS.
type secureApp struct {
	*httptest.Server
	mu     sync.Mutex
	states map[string]tls.ConnectionState // by the other end's address
}

func newSecureApp(t *testing.T, change func(*tls.Config)) *secureApp {
	t.Helper()
	a := &secureApp{states: map[string]tls.ConnectionState{}}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.states[r.RemoteAddr] = *r.TLS
		a.mu.Unlock()
		shown := ""
		if len(r.TLS.PeerCertificates) > 0 {
			shown = r.TLS.PeerCertificates[0].DNSNames[0]
		}
		fmt.Fprintf(w, "name %q shown %q resumed %v %s %s", r.TLS.ServerName, shown, r.TLS.DidResume, tls.VersionName(r.TLS.Version), r.RemoteAddr)
	}))
	a.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}} //nolint:gosec // of a test
	if change != nil {
		change(a.TLS)
	}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *secureApp) address() string { return a.Listener.Addr().String() }

// connections tells how many connections brought a request.
func (a *secureApp) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.states)
}

// roots trust the application, whose certificate is for example.com.
func (a *secureApp) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

// upstream makes TLS settings for the endpoints of a table's route. Options change them.
func upstream(options ...func(*route.UpstreamTLS)) func(*route.Table, *route.Route) {
	return func(table *route.Table, r *route.Route) {
		to := &route.UpstreamTLS{Policy: policy.Default().UpstreamTLS}
		for _, o := range options {
			o(to)
		}
		r.UpstreamTLS = to
		table.UpstreamTLS = append(table.UpstreamTLS, to)
	}
}

func verifying(roots *x509.CertPool, name string) func(*route.UpstreamTLS) {
	return func(to *route.UpstreamTLS) { to.Policy.Verify, to.Policy.Name, to.Roots = true, name, roots }
}

func sendingName(to *route.UpstreamTLS) { to.Policy.SNI = true }

// TestUpstreamTLSVerifies: an endpoint that does not pass is not spoken to, and the answer says why.
func TestUpstreamTLSVerifies(t *testing.T) {
	a := newSecureApp(t, nil)
	for _, c := range []struct {
		protocol policy.Protocol
		to       func(*route.UpstreamTLS)
		reason   policy.Reason
		words    string
	}{
		{policy.HTTPS, verifying(a.roots(), "example.com"), "", ""},
		{policy.GRPCS, verifying(a.roots(), "example.com"), "", ""},
		{policy.HTTPS, verifying(a.roots(), "127.0.0.1"), "", ""},
		{policy.HTTPS, verifying(a.roots(), "other.example.org"), policy.EndpointUntrusted, "not other.example.org"},
		{policy.GRPCS, verifying(a.roots(), "other.example.org"), policy.EndpointUntrusted, "not other.example.org"},
		{policy.HTTPS, verifying(a.roots(), ""), policy.EndpointUntrusted, "not app.demo.svc"}, // the Service's own name
		{policy.HTTPS, verifying(x509.NewCertPool(), "example.com"), policy.EndpointUntrusted, "unknown authority"},
		{policy.HTTPS, func(to *route.UpstreamTLS) { to.Policy.Max = tls.VersionTLS12; to.Policy.Min = tls.VersionTLS10 }, "", ""},
	} {
		r := newRig(t, tableOf([]string{a.address()}, with(speaks(c.protocol)), upstream(c.to)))
		res, body := r.get("/")
		if c.reason == "" {
			if res.StatusCode != 200 {
				t.Errorf("%s: %s %s", c.protocol, res.Status, body)
			}
			continue
		}
		status(t, res, 502, c.reason)
		if record := r.record(1); !strings.Contains(record.Error, c.words) {
			t.Errorf("%s: the log says %q, want %q", c.protocol, record.Error, c.words)
		}
	}
}

// TestUpstreamTLSBroken closes what would be spoken to over TLS, and nothing else.
func TestUpstreamTLSBroken(t *testing.T) {
	broken := upstream(func(to *route.UpstreamTLS) { to.Broken = policy.UpstreamTLSUnavailable })
	secure := newRig(t, tableOf([]string{newSecureApp(t, nil).address()}, with(speaks(policy.HTTPS)), broken))
	res, _ := secure.get("/")
	status(t, res, 503, policy.UpstreamTLSUnavailable)
	plain := newRig(t, tableOf([]string{app(t, echo)}, broken))
	res, _ = plain.get("/")
	status(t, res, 200, "")
}

// TestUpstreamTLSSays: the server name is sent and the certificate is shown exactly where that is wanted.
func TestUpstreamTLSSays(t *testing.T) {
	wants := newSecureApp(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	shown := certificate(t)
	showing := func(to *route.UpstreamTLS) { to.Certificate = &shown }
	r := newRig(t, tableOf([]string{wants.address()}, with(speaks(policy.HTTPS)), upstream(verifying(wants.roots(), "example.com"), sendingName, showing)))
	if _, body := r.get("/"); !strings.HasPrefix(body, `name "example.com" shown "example.com"`) {
		t.Error(body)
	}
	// In TLS 1.3 the refusal comes after the handshake, and the end of the connection may be faster than the word for it.
	old := func(to *route.UpstreamTLS) { to.Policy.Max = tls.VersionTLS12 }
	for _, protocol := range []policy.Protocol{policy.HTTPS, policy.GRPCS} {
		without := newRig(t, tableOf([]string{wants.address()}, with(speaks(protocol)), upstream(old)))
		res, _ := without.get("/")
		status(t, res, 502, policy.EndpointTLS)
		if record := without.record(1); !strings.Contains(record.Error, "remote error: tls: handshake failure") {
			t.Errorf("%s: the log says %q", protocol, record.Error)
		}
	}
	open := newSecureApp(t, nil)
	silent := newRig(t, tableOf([]string{open.address()}, with(speaks(policy.HTTPS)), upstream(verifying(open.roots(), "example.com"))))
	if _, body := silent.get("/"); !strings.HasPrefix(body, `name "" shown ""`) {
		t.Error(body)
	}
}

// TestUpstreamTLSIsNotShared: a connection that one route verified by nothing never serves one that wants to verify.
func TestUpstreamTLSIsNotShared(t *testing.T) {
	a := newSecureApp(t, nil)
	table := tableOf([]string{a.address()}, with(speaks(policy.HTTPS)))
	careless := table.Hosts.Find("app.test").Paths.Find("/")
	var routes []*route.Route
	for path, options := range map[string]func(*route.Table, *route.Route){
		"/good": upstream(verifying(a.roots(), "example.com")), "/bad": upstream(verifying(x509.NewCertPool(), "example.com")),
	} {
		r := *careless
		r.Path = path
		options(table, &r)
		routes = append(routes, &r)
	}
	table.Hosts = route.NewHosts([]*route.Host{{Name: "app.test", Paths: route.NewPaths(append(routes, careless))}})
	r := newRig(t, table)
	for range 3 {
		for path, want := range map[string]int{"/": 200, "/good": 200, "/bad": 502} {
			if res, body := r.get(path); res.StatusCode != want {
				t.Errorf("%s: %s %s, want %d", path, res.Status, body, want)
			}
		}
	}
	if n := a.connections(); n != 2 {
		t.Errorf("%d connections brought requests, want one of each of two routes", n)
	}
}

// TestUpstreamTLSResumes: a new connection resumes the session of the last one, and is verified all the same.
func TestUpstreamTLSResumes(t *testing.T) {
	a := newSecureApp(t, nil)
	r := newRig(t, tableOf([]string{a.address()}, with(speaks(policy.HTTPS)), upstream(verifying(a.roots(), "example.com"))))
	if _, body := r.get("/"); !strings.Contains(body, "resumed false") {
		t.Error(body)
	}
	a.CloseClientConnections()
	eventually(t, func() bool {
		_, body := r.get("/")
		return strings.Contains(body, "resumed true")
	})
}

// TestUpstreamTLSReloads: a changed Secret makes new connections at once, and a request on an old one finishes.
func TestUpstreamTLSReloads(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	slow := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-finish
		}
		_, _ = io.WriteString(w, "done")
	}))
	t.Cleanup(slow.Close)
	roots := x509.NewCertPool()
	roots.AddCert(slow.Certificate())
	address := []string{slow.Listener.Addr().String()}
	first := tableOf(address, with(speaks(policy.HTTPS)), upstream(verifying(roots, "example.com")))
	r := newRig(t, first)
	answer := make(chan string)
	go func() {
		_, body := r.get("/slow")
		answer <- body
	}()
	<-begun
	second := tableOf(address, with(speaks(policy.HTTPS)), upstream(verifying(x509.NewCertPool(), "example.com")))
	second.Backends = first.Backends // only the Secret changed
	r.swap(second)
	res, _ := r.get("/")
	status(t, res, 502, policy.EndpointUntrusted)
	close(finish)
	if body := <-answer; body != "done" {
		t.Errorf("the request on the old connection: %q", body)
	}
	third := tableOf(address, with(speaks(policy.HTTPS)), upstream(verifying(roots, "example.com")))
	third.Backends = first.Backends
	r.swap(third)
	res, _ = r.get("/")
	status(t, res, 200, "")
	if states := r.pool.Snapshot(); len(states) != 1 {
		t.Errorf("the pool still has %v", states)
	}
}

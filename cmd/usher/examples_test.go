package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	testcluster "github.com/usher-ingress/usher/e2e/cluster"
)

// example is a folder of examples/ that is served, with programs on loopback addresses in the place of Pods.
type example struct {
	*process
	folder string
}

// generatedSlice is an EndpointSlice that asInCluster made.
var generatedSlice = regexp.MustCompile(`(?m)^(\{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: \{name: (\S+), .*, port: )\d+(\}\], endpoints: ).*$`)

func serveExample(t *testing.T, name string, flags ...string) *example {
	t.Helper()
	e := &example{folder: t.TempDir()}
	text := generatedSlice.ReplaceAllFunc(asInCluster(t, filepath.Join(rootFolder, "examples", name)), func(slice []byte) []byte {
		m := generatedSlice.FindSubmatch(slice)
		return fmt.Appendf(nil, "%s%d%s[{addresses: [127.0.0.1]}, {addresses: [127.0.0.2]}, {addresses: [127.0.0.3]}]}", m[1], pods(t, string(m[2])), m[3])
	})
	write(t, e.folder, "all.yaml", string(text))
	e.process = serve(t, append([]string{"--manifests", e.folder}, flags...)...)
	return e
}

// pods starts three programs that answer with a name and their own address, over HTTP/1.1 and HTTP/2 in the clear; to gRPC, with
// status 0. It returns the port that they all have.
func pods(t *testing.T, name string) int {
	t.Helper()
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // its clients are ours
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			defer w.Header().Set("Grpc-Status", "0")
		}
		_, _ = fmt.Fprintf(w, "%s %s", name, r.Context().Value(http.LocalAddrContextKey))
	})}
	t.Cleanup(func() { _ = s.Close() })
	for range 100 {
		port := freePort(t)
		var listeners []net.Listener
		for _, address := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
			if l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port)); err == nil {
				listeners = append(listeners, l)
			}
		}
		if len(listeners) == 3 {
			for _, l := range listeners {
				go func() { _ = s.Serve(l) }()
			}
			return port
		}
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	t.Fatal("no port that is free on three addresses")
	return 0
}

// ask sends a request and returns the answer's body; fields are "Name: value".
func (e *example) ask(host string, fields ...string) (body string, header http.Header) {
	e.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+e.http+"/hostname", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	r.Host = host
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	status, header, body := e.do(http.DefaultTransport, r)
	if status != http.StatusOK {
		e.t.Fatalf("%s %v: %d %s", host, fields, status, body)
	}
	return body, header
}

// overTLS is a transport to the HTTPS port, over HTTP/2, that trusts these roots and no others.
func (e *example) overTLS(roots *x509.CertPool) *http.Transport {
	tr := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots}, //nolint:gosec // its version is the default
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", e.https)
		},
	}
	e.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// secure asks for a host over TLS; "" if that fails.
func (e *example) secure(tr *http.Transport, host string) string {
	r, err := http.NewRequest(http.MethodGet, "https://"+host+"/hostname", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	if status, _, body := e.do(tr, r); status == http.StatusOK {
		return body
	}
	return ""
}

// tlsSecret writes the Secret that another program, or a person, would make.
func (e *example) tlsSecret(name, host string) *x509.CertPool {
	e.t.Helper()
	authority, err := testcluster.NewAuthority("example")
	if err != nil {
		e.t.Fatal(err)
	}
	pair, err := authority.Server(host)
	if err != nil {
		e.t.Fatal(err)
	}
	secret := secretOf(name, map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key})
	write(e.t, e.folder, name+".yaml", strings.Replace(secret, "stringData:", "type: kubernetes.io/tls\nstringData:", 1))
	return authority.Pool()
}

func TestExampleKind(t *testing.T) {
	e := serveExample(t, "kind")
	if body, _ := e.ask("hello.localhost"); !strings.HasPrefix(body, "hello 127.0.0.") {
		t.Error(body)
	}
}

func TestExampleCanary(t *testing.T) {
	e := serveExample(t, "canary")
	next := 0
	for range 400 { // 40 are to be expected, and fewer than 5 or more than 100 once in ten million runs
		if body, _ := e.ask("shop.example.com"); strings.HasPrefix(body, "shop-next ") {
			next++
		}
	}
	if next < 5 || next > 100 {
		t.Errorf("the next version had %d of 400 requests", next)
	}
	for said, want := range map[string]string{"X-Canary: always": "shop-next ", "X-Canary: never": "shop ", "Cookie: canary=always": "shop-next "} {
		for range 20 {
			if body, _ := e.ask("shop.example.com", said); !strings.HasPrefix(body, want) {
				t.Fatalf("%s: %s answered, want %s", said, body, want)
			}
		}
	}
}

func TestExampleStickySessions(t *testing.T) {
	e := serveExample(t, "sticky-sessions")
	body, header := e.ask("cart.example.com")
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "cart=") {
		t.Fatalf("Set-Cookie %q", header.Get("Set-Cookie"))
	}
	first, _ := e.ask("cart-by-address.example.com")
	others := map[string]bool{}
	for range 20 {
		if again, _ := e.ask("cart.example.com", "Cookie: "+cookie); again != body {
			t.Errorf("the session moved from %s to %s", body, again)
		}
		if again, _ := e.ask("cart-by-address.example.com"); again != first {
			t.Errorf("the client moved from %s to %s", first, again)
		}
		other, _ := e.ask("cart.example.com")
		others[other] = true
	}
	if len(others) != 3 {
		t.Errorf("new sessions came to %v, want three Pods", others)
	}
}

func TestExampleGRPC(t *testing.T) {
	e := serveExample(t, "grpc")
	tr := e.overTLS(e.tlsSecret("grpc-tls", "grpc.example.com"))
	call := func() string {
		r, err := http.NewRequest(http.MethodPost, "https://grpc.example.com/grpc.health.v1.Health/Check", bytes.NewReader(make([]byte, 5)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
		answer, err := tr.RoundTrip(r)
		if err != nil {
			return err.Error() // the Secret is not live yet
		}
		defer func() { _ = answer.Body.Close() }()
		var body bytes.Buffer
		_, _ = body.ReadFrom(answer.Body)
		return fmt.Sprintf("%d %s %s, by %s", answer.StatusCode, answer.Proto, answer.Trailer.Get("Grpc-Status"), body.String())
	}
	e.eventually("a gRPC answer", func() bool { return strings.HasPrefix(call(), "200 HTTP/2.0 0, by greeter 127.0.0.") })
}

func TestExampleACME(t *testing.T) {
	e := serveExample(t, "tls-acme", "--acme-ca", "internal", "--acme-storage", t.TempDir()) // for the CA of values.yaml, which is on the Internet
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(e.shown("/debug/ca"))) {
		t.Fatal("no root")
	}
	tr := e.overTLS(roots)
	e.eventually("the certificate", func() bool { return strings.HasPrefix(e.secure(tr, "www.example.com"), "web 127.0.0.") })
}

// TestExampleCertManager: first comes the Ingress by which cert-manager proves that the host is ours, as that one writes it, then the Secret.
func TestExampleCertManager(t *testing.T) {
	e := serveExample(t, "tls-cert-manager")
	solver := site("cm-acme-http-solver", pods(t, "solver"))
	_, solver, _ = strings.Cut(solver, "---\n") // without its class, which is there
	write(t, e.folder, "solver.yaml", strings.NewReplacer("site.test", "www.example.com", "path: /,", "path: /.well-known/acme-challenge/token,",
		"pathType: Prefix", "pathType: ImplementationSpecific", "annotations: {}", `annotations: {nginx.ingress.kubernetes.io/whitelist-source-range: "0.0.0.0/0,::/0"}`).Replace(solver))
	e.eventually("the challenge over plain HTTP", func() bool {
		status, _, body := e.get("www.example.com", "/.well-known/acme-challenge/token")
		return status == http.StatusOK && strings.HasPrefix(body, "solver ")
	})
	tr := e.overTLS(e.tlsSecret("www-tls", "www.example.com"))
	e.eventually("the certificate", func() bool { return strings.HasPrefix(e.secure(tr, "www.example.com"), "web 127.0.0.") })
}

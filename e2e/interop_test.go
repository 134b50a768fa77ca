//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// interopVariable names gRPC's interoperability program, see e2e/interop.
const interopVariable = "USHER_E2E_INTEROP"

// buildInterop builds that program and leaves its path in the environment.
func buildInterop() error {
	if os.Getenv(interopVariable) != "" {
		return nil
	}
	program, err := filepath.Abs("../bin/interop")
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Stdout, build.Stderr = "interop", os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building interop: %w", err)
	}
	return os.Setenv(interopVariable, program)
}

// grpcServers starts servers, and a Service of them with port 80.
func (s *scene) grpcServers(service, appProtocol string, names ...string) map[string]*cluster.Process {
	s.t.Helper()
	servers := map[string]*cluster.Process{}
	var endpoints []string
	for _, name := range names {
		host := address()
		p, err := cluster.StartProcess(theCluster.Dir(), name, exec.Command(os.Getenv(interopVariable), "server", "-listen", host+":8080", "-name", name))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(p.Kill)
		servers[name] = p
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%s], conditions: {ready: true}}", host))
	}
	s.apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {ports: [{name: http, port: 80, targetPort: 8080, appProtocol: %q}]}}`,
		service, appProtocol))
	s.slice(service, strings.Join(endpoints, ", "))
	return servers
}

// interop runs one case of the client against host and returns what it has printed.
func (u *usher) interop(host, which string) (string, error) {
	client := exec.CommandContext(u.t.Context(), os.Getenv(interopVariable), "client", "-connect", u.address+":443", "-authority", host, "-case", which)
	said, err := client.CombinedOutput()
	return string(said), err
}

// TestGRPC runs gRPC's interoperability cases through Usher: TLS and HTTP/2 from the client, HTTP/2 in the clear to the server.
func TestGRPC(t *testing.T) {
	s := newScene(t)
	servers := s.grpcServers("by-annotation", "http", "one", "two", "three")
	s.grpcServers("by-protocol", "kubernetes.io/h2c", "four")
	s.ingress("by-annotation", `rules: [{host: grpc.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: by-annotation, port: {number: 80}}}}]}}]`,
		`nginx.ingress.kubernetes.io/backend-protocol: GRPC`)
	s.route("by-protocol", "h2c.example", "/", "by-protocol")
	u := s.usher()
	for _, host := range []string{"grpc.example", "h2c.example"} {
		await(t, func() error {
			said, err := u.interop(host, "empty_unary")
			if err != nil {
				return fmt.Errorf("%w\n%s", err, said)
			}
			return nil
		})
	}
	for _, which := range []string{
		"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
		"timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "custom_metadata",
		"status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service",
	} {
		if said, err := u.interop("grpc.example", which); err != nil {
			t.Errorf("%s: %v\n%s", which, err, said)
		}
	}
	if said, err := u.interop("h2c.example", "ping_pong"); err != nil {
		t.Errorf("by appProtocol: %v\n%s", err, said)
	}
	t.Run("spread", func(t *testing.T) { spreadsStreams(t, u) })
	t.Run("cancel", func(t *testing.T) { endsAtTheServer(t, u, servers, "cancel") })
	t.Run("deadline", func(t *testing.T) { endsAtTheServer(t, u, servers, "deadline") })
	t.Run("server dies", func(t *testing.T) { endsAtTheClient(t, u, servers) })
}

// spreadsStreams: the streams of one client connection go to all servers, the same number to each.
func spreadsStreams(t *testing.T, u *usher) {
	said, err := u.interop("grpc.example", "spread")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, name := range []string{"one", "two", "three"} {
		if n := strings.Count(said, name+"\n"); n != 10 {
			t.Errorf("%s has %d streams of 30, want 10\n%s", name, n, said)
		}
	}
}

// endsAtTheServer: what ends a stream at the client ends it at the server too.
func endsAtTheServer(t *testing.T, u *usher, servers map[string]*cluster.Process, which string) {
	count := func() (n int) {
		for _, p := range servers {
			n += strings.Count(p.Log(), "/FullDuplexCall: context ")
		}
		return n
	}
	before := count()
	if said, err := u.interop("grpc.example", which); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	await(t, func() error {
		if count() == before {
			return errors.New("no server has noticed")
		}
		return nil
	})
}

// endsAtTheClient: a server that dies ends its streams at their clients, which are told UNAVAILABLE.
func endsAtTheClient(t *testing.T, u *usher, servers map[string]*cluster.Process) {
	out, err := cluster.StartProcess(theCluster.Dir(), "holder",
		exec.Command(os.Getenv(interopVariable), "client", "-connect", u.address+":443", "-case", "hold"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Kill)
	await(t, func() error {
		if servers[strings.TrimSpace(out.Log())] == nil {
			return fmt.Errorf("no server has the stream: %s", out.Log())
		}
		return nil
	})
	servers[strings.TrimSpace(out.Log())].Kill()
	if code := out.ExitCode(); code != 0 {
		t.Errorf("exit status %d\n%s", code, out.Log())
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/certs"
	"go.uber.org/zap"
)

func newDemo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a small example on this machine and print requests to try",
		Long: `Demo is the first two minutes: it starts a few small backends on loopback, serves the manifests of
examples/quickstart through the same pipeline as 'usher serve', and prints requests to try. It needs
nothing but this binary: no cluster, no network.

It shows hosts and paths, a wildcard, TLS by a throw-away CA, a session cookie, a canary,
and one mistake to explain. The manifests are copied to a folder; a change there is live at once. Ports
that are taken are replaced by free ones. Ctrl-C ends it and removes the folder.`,
		Example: "  usher demo",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop := newStopper(cmd.Context())
			defer stop.release()
			return runDemo(stop, cmd.OutOrStdout(), cmd.ErrOrStderr(), keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the folder with the manifests at the end")
	return cmd
}

// demoBackends are the programs that endpoints.yaml names, by their ports there.
func demoBackends() map[int]string {
	return map[int]string{9001: "web-0", 9002: "web-1", 9003: "cart-0", 9004: "api-0", 9005: "api-1", 9006: "api-next-0"}
}

func runDemo(stop *stopper, out, log io.Writer, keep bool) error {
	fmt.Fprintln(out, "Welcome to Usher. What to try follows in a moment; an error may be logged before, of a mistake that is there to be explained.")
	backends, ports, err := startBackends()
	if err != nil {
		return err
	}
	defer func() {
		for _, b := range backends {
			b.stop()
		}
	}()
	folder, err := newDemoFolder(ports)
	if err != nil {
		return err
	}
	if !keep {
		defer folder.remove()
	}
	flags, taken, err := demoFlags(folder)
	if err != nil {
		return err
	}
	s, err := newService(flags, console{out: io.Discard, err: log})
	if err != nil {
		return err
	}
	for _, b := range backends {
		s.parts.Add(b.run, func(error) { b.stop() })
	}
	s.onReady = func() {
		if err := s.awaitDemoCertificate(stop.gently, folder); err != nil {
			s.log.Warn("the demo has no certificate", zap.Error(err))
		}
		fmt.Fprint(out, taken, demoText(s, folder))
	}
	return s.run(stop)
}

// demoHost is the host of the quickstart that has TLS.
const demoHost = "shop.localhost"

// awaitDemoCertificate waits for the internal CA to give the certificate, and writes down the CA's own for curl.
func (s *service) awaitDemoCertificate(ctx context.Context, folder demoFolder) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for len(s.tables().Load().Certificates.For(demoHost)) == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	root, err := s.authority(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(folder.authority(), root, 0o600)
}

// startBackends listens for each backend, on the port of the manifests where it is free. The map says which port replaces which.
func startBackends() ([]*echo, map[int]int, error) {
	var all []*echo
	ports := map[int]int{}
	for port, name := range demoBackends() {
		l, err := listenNear(uint16(port))
		if err != nil {
			for _, b := range all {
				b.stop()
			}
			return nil, nil, fmt.Errorf("backend %s: %w", name, err)
		}
		b := newEcho(name, l)
		all, ports[port] = append(all, b), b.port()
	}
	return all, ports, nil
}

// listenNear listens on port of the loopback address, or on any free one when it is taken.
func listenNear(port uint16) (net.Listener, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// demoFlags are those of `usher serve --manifests FOLDER`, on loopback only, with free ports in the place of taken ones. The string
// says which were taken.
func demoFlags(folder demoFolder) (*serveFlags, string, error) {
	f := &serveFlags{}
	f.register(pflag.NewFlagSet("demo", pflag.ContinueOnError))
	f.objects.manifests = folder.path
	f.bind, f.adminBind = []string{"127.0.0.1"}, "127.0.0.1"
	f.acme.ca, f.acme.folder = certs.InternalCA, folder.acme()
	f.logs.level.value = "warn"
	f.logs.format.value = "console"
	f.logs.access = false
	f.shutdownGrace = seconds(3 * time.Second)
	var taken strings.Builder
	for _, p := range []*uint16{&f.httpPort, &f.httpsPort, &f.adminPort} {
		l, err := listenNear(*p)
		if err != nil {
			return nil, "", err
		}
		free := uint16(l.Addr().(*net.TCPAddr).Port)
		_ = l.Close()
		if free != *p {
			fmt.Fprintf(&taken, "Port %d is taken, so this demo uses %d.\n", *p, free)
		}
		*p = free
	}
	return f, taken.String(), f.check()
}

// demoText is what to try.
func demoText(s *service, folder demoFolder) string {
	plain, secure, admin := port(s.server.Plain()[0]), port(s.server.Secure()[0]), s.adminAddress()
	usher := thisProgram()
	var b strings.Builder
	fmt.Fprintf(&b, "Usher serves a copy of examples/quickstart from %s\n", folder.path)
	fmt.Fprintf(&b, "Dashboard: http://%s/\n\nTry, in another terminal:\n\n", admin)
	for _, try := range []struct{ what, command string }{
		{"a host and a path; repeat it to see both replicas of web", fmt.Sprintf("curl --cacert %s --resolve shop.localhost:%s:127.0.0.1 https://shop.localhost:%s/", folder.authority(), secure, secure)},
		{"a longer path of that host, to another Service", fmt.Sprintf("curl --cacert %s --resolve shop.localhost:%s:127.0.0.1 https://shop.localhost:%s/cart/1", folder.authority(), secure, secure)},
		{"plain HTTP of a host with TLS is redirected", fmt.Sprintf("curl -i -H 'Host: shop.localhost' http://127.0.0.1:%s/cart", plain)},
		{"an Exact path beside a Prefix", fmt.Sprintf("curl -H 'Host: api.localhost' http://127.0.0.1:%s/v1/status", plain)},
		{"a wildcard host", fmt.Sprintf("curl -H 'Host: blue.apps.localhost' http://127.0.0.1:%s/", plain)},
		{"a session: ask twice, and the same replica answers", fmt.Sprintf("curl -b %[1]s -c %[1]s -H 'Host: account.localhost' http://127.0.0.1:%[2]s/", folder.cookies(), plain)},
		{"a canary: one request in five goes to the next version, and each with this header", fmt.Sprintf("curl -H 'Host: api.localhost' -H 'X-Next: always' http://127.0.0.1:%s/v1", plain)},
		{"a host nobody declares: 404, with the reason in a header", fmt.Sprintf("curl -i -H 'Host: nobody.localhost' http://127.0.0.1:%s/", plain)},
		{"the mistake: 503", fmt.Sprintf("curl -i --cacert %s --resolve shop.localhost:%s:127.0.0.1 https://shop.localhost:%s/checkout", folder.authority(), secure, secure)},
		{"why is that?", fmt.Sprintf("%s explain --admin %s https://shop.localhost/checkout", usher, admin)},
		{"everything that is wrong", fmt.Sprintf("%s lint --manifests %s", usher, folder.path)},
	} {
		fmt.Fprintf(&b, "# %s\n%s\n\n", try.what, try.command)
	}
	fmt.Fprintf(&b, "Mend the mistake: write 'name: cart' for 'name: chekout' in %s/shop.yaml and ask again.\nCtrl-C ends the demo.\n", folder.path)
	return b.String()
}

func port(addr net.Addr) string {
	_, p, _ := net.SplitHostPort(addr.String())
	return p
}

// thisProgram is how to start this program again: `go run` leaves a binary that is gone afterwards.
func thisProgram() string {
	if strings.Contains(os.Args[0], "/go-build") {
		return "go run ./cmd/usher"
	}
	return os.Args[0]
}

func (s *service) adminAddress() string { return s.adminAt.Addr().String() }

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// site is a folder with a few hosts, and what answers for them: what connections and attacks need.
type site struct {
	dir      string
	backends []*cluster.Backend
}

// pods is how many backends a site has: the kernel takes long to find a free port for the ten-thousandth connection to one address.
const pods = 10

// openSite serves the others' host, which answers shortly, reads any body and upgrades on /upgrade; below /attacked is what attackers ask for.
func openSite(b *bench) (*site, error) {
	dir, err := os.MkdirTemp(b.dir, "site-")
	if err != nil {
		return nil, err
	}
	addresses := othersAddresses()
	objects := []any{class(), service("others"), slice("others", addresses...), service("attacked"), slice("attacked", attackedAddresses()...),
		ingress("others", rule(othersHost, path("/", "others"), path("/attacked", "attacked")))}
	if err := writeList(dir, "site.json", objects); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "others")
	})
	mux.HandleFunc("/upgrade", upgrade)
	s := &site{dir: dir}
	if err := s.serve(addresses, mux); err != nil {
		return nil, err
	}
	return s, nil
}

func othersAddresses() []string { return podAddresses(1) }

// attackedAddresses are of the Pods that attackers ask for. They run with the attackers: an answer without end costs whoever writes it.
func attackedAddresses() []string { return podAddresses(2) }

func podAddresses(network int) []string {
	var out []string
	for i := range pods {
		out = append(out, fmt.Sprintf("10.244.%d.%d", network, 1+i))
	}
	return out
}

// openAttacked serves them.
func openAttacked() (*site, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/attacked/upload", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/attacked/endless", endless)
	s := &site{}
	return s, s.serve(attackedAddresses(), mux)
}

func (s *site) serve(addresses []string, handler http.Handler) error {
	for _, address := range addresses {
		backend, err := cluster.StartBackend("others", address+":8080", handler)
		if err != nil {
			s.close()
			return err
		}
		s.backends = append(s.backends, backend)
	}
	return nil
}

func (s *site) close() {
	for _, b := range s.backends {
		b.Close()
	}
}

func (s *site) usher(ctx context.Context, b *bench, flags ...string) (*usher, error) {
	return startUsher(ctx, b.dir, append([]string{"--manifests", filepath.Clean(s.dir)}, flags...)...)
}

// upgrade agrees to whatever protocol is asked for, and says nothing in it until the other side ends.
func upgrade(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\nConnection: Upgrade\r\n\r\n"); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

func endless(w http.ResponseWriter, _ *http.Request) {
	block := []byte(strings.Repeat("a block of an answer without end\n", 1000))
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// crowd is the connections of many clients, from a hundred addresses.
type crowd []net.Conn

// source is the address of client i.
func source(i int) string { return net.IPv4(192, 0, 2, byte(100+i%100)).String() }

func (c crowd) close() {
	for _, conn := range c {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

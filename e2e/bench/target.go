package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// target is a contender that runs.
type target struct {
	contender
	process            *child
	HTTP, HTTPS, Admin string // addresses
	lent               bool   // the process is the site's, which stops it
}

// direct is the backend itself in the place of a proxy.
func (b *bench) direct() *target {
	return &target{contender: contender{Name: "direct"}, process: b.site.backend, HTTP: b.site.Small, lent: true}
}

// start runs a contender in a new folder and returns when it answers requests for both hosts. The caller stops it.
func (b *bench) start(ctx context.Context, c contender, how scenario) (*target, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.site.Dir, c.Name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's worker is another user
		return nil, err
	}
	s := setting{site: b.site, Work: dir, HTTPPort: ports[0], HTTPSPort: ports[1], Port: ports[2], AccessLog: how.accessLog,
		PlainHost: plainHost, SecureHost: secureHost, GoPrefix: goPrefix, Connections: 1024}
	if how.rsa {
		s.site = b.site.withRSA()
	}
	if how.fresh {
		s.Connections = b.idle + 1000
	}
	if s.SmallHost, s.SmallPort, err = splitAddr(b.site.Small); err != nil {
		return nil, err
	}
	if s.GoHost, s.GoPort, err = splitAddr(b.site.Go); err != nil {
		return nil, err
	}
	cmd, err := c.setup(c, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	process, err := startChild(c.Name, dir, b.proxyCPU, cmd)
	if err != nil {
		return nil, err
	}
	t := &target{contender: c, process: process, HTTP: loopback(ports[0]), HTTPS: loopback(ports[1]), Admin: loopback(ports[2])}
	if err := process.await(ctx, 15*time.Second, t.answers); err != nil {
		process.stop()
		return nil, err
	}
	return t, nil
}

func (t *target) stop() {
	if t.lent {
		return
	}
	t.process.stop()
	_ = os.RemoveAll(t.process.dir)
}

func splitAddr(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}

// answers asks for the small answer over plain HTTP and TLS, on connections that close.
func (t *target) answers(ctx context.Context) error {
	for _, url := range []string{"http://" + t.HTTP + smallPath, "https://" + t.HTTPS + smallPath} {
		if err := t.get(ctx, url, nil); err != nil {
			return err
		}
	}
	return nil
}

// get asks the target once and decodes the answer as JSON, unless into is nil.
func (t *target) get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Host = plainHost
	if request.URL.Scheme == "https" {
		request.Host = secureHost
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{ServerName: secureHost, InsecureSkipVerify: true}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if into == nil {
		_, err = drain(response.Body)
		return err
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// addedHeaders are the names of the header fields a backend gets through the target.
func (t *target) addedHeaders(ctx context.Context) ([]string, error) {
	var names []string
	err := t.get(ctx, "http://"+t.HTTP+headersPath, &names)
	return names, err
}

// logged reports whether the access log has anything in it.
func (t *target) logged() bool {
	for _, name := range []string{"stdout", "stderr", "access.log"} {
		if info, err := os.Stat(filepath.Join(t.process.dir, name)); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

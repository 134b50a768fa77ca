//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestTCPServices opens and closes ports by a ConfigMap of the cluster.
func TestTCPServices(t *testing.T) {
	s := newScene(t)
	s.backend("web")
	s.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: tcp, namespace: $system}, data: {"5432": "$namespace/web:80"}}`)
	u := s.usher("--tcp-services-configmap", s.system+"/tcp")
	await(t, func() error { return u.speaks(5432) })

	s.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: tcp, namespace: $system}, data: {"5433": "$namespace/web:80", "443": "$namespace/web:80"}}`)
	await(t, func() error { return u.speaks(5433) })
	await(t, func() error {
		if err := u.speaks(5432); err == nil || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("port 5432 is open: %v", err)
		}
		return nil
	})
	u.awaitMetric(`usher_diagnostics{reason="bad-tcp-service",severity="error"}`, 1) // 443 is Usher's own
}

// speaks asks a port, past all routing, for an answer of HTTP.
func (u *usher) speaks(port int) error {
	conn, err := net.Dial("tcp", net.JoinHostPort(u.address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("X-Usher-Reason") != "" {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

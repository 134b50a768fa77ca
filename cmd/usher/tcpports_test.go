package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// introduced is an application that wants a PROXY protocol header, and says what it reads in it and after it.
func introduced(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				header, err := proxyproto.Read(in)
				if err != nil {
					fmt.Fprint(conn, err)
					return
				}
				text, _ := io.ReadAll(in)
				fmt.Fprintf(conn, "%s in version %d says %s", header.SourceAddr, header.Version, text)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// say sends text to a port and returns all that comes back; an error is a text as well.
func say(port int, text string) string {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	got, _ := io.ReadAll(conn)
	return string(got)
}

// freePort is one that nobody listens on, below those that the kernel gives to connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 21000 + rand.IntN(10000) //nolint:gosec // chance
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// The ports of TCP services follow their ConfigMap, and a port that cannot be had is a Diagnostic.
func TestServeTCPServices(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "site.yaml", site("app", introduced(t)))
	services := func(entries ...string) {
		write(t, folder, "tcp.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tcp, namespace: usher}\ndata:\n  "+strings.Join(entries, "\n  ")+"\n")
	}
	both, out := freePort(t), freePort(t)
	services(fmt.Sprintf(`"%d": default/app:80:PROXY:PROXY`, both))
	p := serve(t, "--manifests", folder, "--tcp-services-configmap=usher/tcp")

	p.eventually("the first port", func() bool {
		return say(both, "PROXY TCP4 192.0.2.7 203.0.113.1 51201 5432\r\nhello") == "192.0.2.7:51201 in version 1 says hello"
	})
	p.eventually("the access log", func() bool { return strings.Contains(p.out.String(), fmt.Sprintf(`"scheme":"tcp","host":"%d"`, both)) })

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	wanted := taken.Addr().(*net.TCPAddr).Port
	services(fmt.Sprintf(`"%d": default/app:80::PROXY`, out), fmt.Sprintf(`"%d": default/app:80::PROXY`, wanted))
	p.eventually("another port", func() bool {
		got := say(out, "hello")
		return strings.HasPrefix(got, "127.0.0.1:") && strings.HasSuffix(got, " in version 1 says hello")
	})
	p.eventually("the first port's end", func() bool { return strings.Contains(say(both, ""), "refused") })
	diagnosed := func() bool {
		r, _ := http.NewRequest(http.MethodGet, "http://"+p.admin+"/debug/diagnostics", nil)
		_, _, body := p.do(http.DefaultTransport, r)
		return strings.Contains(body, "port-unavailable") && strings.Contains(body, fmt.Sprint(wanted)) && strings.Contains(body, "in use")
	}
	p.eventually("the Diagnostic", diagnosed)
	taken.Close()
	p.eventually("the port that became free", func() bool { return strings.HasSuffix(say(wanted, "hello"), "says hello") })
	p.eventually("the Diagnostic's end", func() bool { return !diagnosed() })
}

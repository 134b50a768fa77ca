package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// serveBench is a Server for measurements.
func serveBench(b *testing.B) *Server {
	s, err := New(Options{
		Plain: []string{"127.0.0.1:0"}, Secure: []string{"127.0.0.1:0"},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	go s.Serve()
	b.Cleanup(func() { s.Close() })
	return s
}

// BenchmarkHandshake is a full TLS 1.3 handshake, both sides and the TCP connection included; "crypto/tls" is the same without us.
func BenchmarkHandshake(b *testing.B) {
	config := &tls.Config{InsecureSkipVerify: true}
	shake := func(b *testing.B, address string) {
		for b.Loop() {
			conn, err := tls.Dial("tcp", address, config)
			if err != nil {
				b.Fatal(err)
			}
			conn.Close()
		}
	}
	b.Run("server", func(b *testing.B) { shake(b, serveBench(b).Secure()[0].String()) })
	b.Run("crypto/tls", func(b *testing.B) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate()}})
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_ = conn.(*tls.Conn).Handshake()
					_, _ = conn.Read(make([]byte, 1))
					conn.Close()
				}()
			}
		}()
		shake(b, l.Addr().String())
	})
}

// BenchmarkRequest is one request at a time on a kept connection, without a proxy behind.
func BenchmarkRequest(b *testing.B) {
	s := serveBench(b)
	for name, c := range map[string]struct {
		url       string
		protocols []string
	}{
		"HTTP/1.1":      {"http://" + s.Plain()[0].String(), nil},
		"HTTP/1.1, TLS": {"https://" + s.Secure()[0].String(), []string{"http/1.1"}},
		"HTTP/2":        {"https://" + s.Secure()[0].String(), []string{"h2"}},
	} {
		b.Run(name, func(b *testing.B) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(true)
			transport.Protocols.SetHTTP2(c.protocols != nil && c.protocols[0] == "h2")
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get(c.url)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}

// BenchmarkIdleConnections tells what a connection costs in memory that has had its request and waits for the next. The client's
// side, which is as plain as can be, is in the figure too.
func BenchmarkIdleConnections(b *testing.B) {
	const count = 500
	request := "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n"
	for name, dial := range map[string]func(s *Server) (net.Conn, error){
		"plain": func(s *Server) (net.Conn, error) { return net.Dial("tcp", s.Plain()[0].String()) },
		"TLS": func(s *Server) (net.Conn, error) {
			return tls.Dial("tcp", s.Secure()[0].String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := serveBench(b)
			buffer := make([]byte, 4096)
			for b.Loop() {
				before := inUse()
				var conns []net.Conn
				for range count {
					conn, err := dial(s)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.WriteString(conn, request); err != nil {
						b.Fatal(err)
					}
					if _, err := conn.Read(buffer); err != nil {
						b.Fatal(err)
					}
					conns = append(conns, conn)
				}
				time.Sleep(100 * time.Millisecond) // until all wait
				b.ReportMetric(float64(inUse()-before)/count, "B/conn")
				for _, conn := range conns {
					conn.Close()
				}
			}
		})
	}
}

// inUse is heap and stacks after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

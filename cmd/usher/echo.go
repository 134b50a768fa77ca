package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"
)

// echo is a backend of the demo: it answers every request with what it received, and by which name it goes.
type echo struct {
	name     string
	listener net.Listener
	server   *http.Server
}

func newEcho(name string, l net.Listener) *echo {
	return &echo{name: name, listener: l, server: &http.Server{Handler: answer(name), ReadHeaderTimeout: 10 * time.Second}}
}

func (e *echo) port() int { return e.listener.Addr().(*net.TCPAddr).Port }

func (e *echo) run() error {
	if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("backend %s: %w", e.name, err)
	}
	return nil
}

func (e *echo) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.server.Shutdown(ctx)
	_ = e.server.Close()
}

func answer(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		fmt.Fprintf(&b, "%s got %s %s %s\n", name, r.Method, r.URL.RequestURI(), r.Proto)
		fmt.Fprintf(&b, "Host: %s\n", r.Host)
		fields := make([]string, 0, len(r.Header))
		for f := range r.Header {
			fields = append(fields, f)
		}
		sort.Strings(fields)
		for _, f := range fields {
			fmt.Fprintf(&b, "%s: %s\n", f, strings.Join(r.Header[f], ", "))
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(b.String()))
	}
}

// Package admin is the port for operators: health, metrics, and what Usher knows and why. It is never the port of the traffic.
//
//	/                    the dashboard, one page without scripts
//	/healthz             the process lives
//	/readyz              a full table is serving and no drain has begun; otherwise 503 and why
//	/metrics             for Prometheus
//	/debug/routes        the table in use; ?host= for one host
//	/debug/diagnostics   what is wrong with the objects, worst first
//	/debug/backends      endpoints with their state, requests in flight and failures
//	/debug/certificates  names, expiry, source; never a key
//	/debug/ca            the certificate of the internal CA, as PEM, for curl --cacert; never its key
//	/debug/explain       what happens to one request: ?url=, and optionally &method= &header= &client=
//	/debug/pprof         only with --profiling
//
// Everything under /debug is text for a person, and JSON for a program that asks for it (Accept: application/json, or ?format=json).
// Nothing can be changed here: the only methods are GET and HEAD.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Options are where the pages get their facts from. Only Tables is required.
type Options struct {
	Tables interface{ Load() *route.Table }
	// Ready returns nil, or why no traffic should come. Without it, a table in use is enough.
	Ready func() error
	// Metrics answers /metrics.
	Metrics http.Handler
	// Endpoints lists what the data plane remembers of endpoints that got requests.
	Endpoints func() []EndpointState
	// Explain answers /debug/explain; nil explains from the table alone.
	Explain func(*route.Table, explain.Request) (*explain.Explanation, error)
	// Version is shown on the dashboard.
	Version string
	// Authority is the certificate, as PEM, of the CA that /debug/ca shows; nil if there is none. May be nil.
	Authority func(context.Context) ([]byte, error)
	// Profiling opens /debug/pprof, which can slow the process down and shows its memory.
	Profiling bool
}

// EndpointState is what the data plane remembers of an address of a Service, once for each protocol that is spoken there. An address without one
// has had no requests.
type EndpointState struct {
	Service     string `json:"-"` // "namespace/name"
	Address     string `json:"-"`
	Protocol    string `json:"protocol"`
	State       string `json:"state"` // "ok", or what keeps requests away from it
	InFlight    int64  `json:"inFlight"`
	Requests    uint64 `json:"requests"` // ever
	Failures    uint64 `json:"failures"` // ever
	Connections int64  `json:"connections"`

	Failing     int64         `json:"failing,omitempty"`     // failures since the last success
	LastFailure policy.Reason `json:"lastFailure,omitempty"` // why the last one failed; empty before the first
}

// Admin serves the pages.
type Admin struct {
	options Options
	server  *http.Server
	now     func() time.Time
}

// New makes an Admin; Handler or Serve put it to work.
func New(o Options) *Admin {
	a := &Admin{options: o, now: time.Now}
	if a.options.Explain == nil {
		a.options.Explain = explain.Explain
	}
	if a.options.Endpoints == nil {
		a.options.Endpoints = func() []EndpointState { return nil }
	}
	a.server = &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute, // a CPU profile takes 30 s
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	return a
}

// Serve answers on l until Close; then it returns nil.
func (a *Admin) Serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin port: %w", err)
	}
	return nil
}

// Close ends Serve.
func (a *Admin) Close() error { return a.server.Close() }

// Handler serves the pages.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", a.dashboard)
	mux.HandleFunc("/healthz", a.healthz)
	mux.HandleFunc("/readyz", a.readyz)
	mux.HandleFunc("/debug/routes", a.routes)
	mux.HandleFunc("/debug/diagnostics", a.diagnostics)
	mux.HandleFunc("/debug/backends", a.backends)
	mux.HandleFunc("/debug/certificates", a.certificates)
	mux.HandleFunc("/debug/ca", a.authority)
	mux.HandleFunc("/debug/explain", a.explain)
	if a.options.Metrics != nil {
		mux.Handle("/metrics", a.options.Metrics)
	}
	if a.options.Profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return readOnly(mux)
}

// readOnly lets nothing through that could change something, and nothing be kept.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "This port only shows; use GET or HEAD.", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Admin) healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") }

func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.ready(); err != nil {
		text(w, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		return
	}
	text(w, http.StatusOK, "ready\n")
}

var errNoTable = errors.New("no table yet: the objects have not been read completely")

func (a *Admin) ready() error {
	if a.options.Tables.Load() == nil {
		return errNoTable
	}
	if a.options.Ready != nil {
		return a.options.Ready()
	}
	return nil
}

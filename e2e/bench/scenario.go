package main

import (
	"context"
	"fmt"
	"slices"
)

// scenario is one kind of load, and what its figure is.
type scenario struct {
	name, title string
	figure      figure
	unit        string // what CPU time, or memory, is divided by: "request", "GiB", ...
	note        string // a sentence for the reader
	accessLog   bool
	rsa         bool // the certificate has an RSA key
	fresh       bool // a new process for each turn, since the figure is about memory
	direct      bool // the load goes to the backend without a proxy too, to show what the machine and the load themselves add
	// prepare runs once, when the contenders are up; nil for most.
	prepare func(context.Context, *bench, []*target) error
	run     func(context.Context, *bench, *target) (load, error)
}

// figure is what a scenario compares.
type figure int

const (
	cpu     figure = iota // microseconds of CPU per unit
	bulk                  // milliseconds of CPU per unit
	latency               // p50 and p99
	memory                // KiB per connection
)

// scenarios lists them in the order they run.
func scenarios() []scenario {
	return []scenario{
		{name: "plain", title: "HTTP/1.1, small answer", unit: "request", run: plain,
			note: "wrk, 64 keep-alive connections."},
		{name: "log", title: "HTTP/1.1 with the access log", unit: "request", accessLog: true, run: plain,
			note: "As above; nginx writes ingress-nginx's line, the others their own default, each to a file."},
		{name: "tls", title: "TLS 1.3, keep-alive", unit: "request", run: secure,
			note: "wrk, 64 connections, TLS_AES_128_GCM_SHA256 where the server can be told."},
		{name: "h2", title: "HTTP/2", unit: "request", run: http2,
			note: "h2load over TLS, 16 connections of 32 streams."},
		{name: "handshake", title: "Full TLS handshakes", unit: "connection", run: handshakes,
			note: "ECDSA P-256, X25519, no resumption: a new connection with one request each."},
		{name: "handshake-rsa", title: "Full TLS handshakes, RSA", unit: "connection", rsa: true, run: handshakes, note: "As above, with a key of 2048 bits."},
		{name: "resume", title: "Resumed TLS handshakes", unit: "connection", run: resumptions,
			note: "As the first, each connection with the session ticket of the one before."},
		{name: "resume-rsa", title: "Resumed TLS handshakes, RSA", unit: "connection", rsa: true, run: resumptions, note: "As above, with a key of 2048 bits."},
		{name: "download", title: "100 MiB download", unit: "GiB", figure: bulk, run: download, note: "One connection, plain HTTP."},
		{name: "download-tls", title: "100 MiB download over TLS", unit: "GiB", figure: bulk, run: downloadTLS, note: "One connection."},
		{name: "upload", title: "100 MiB upload", unit: "GiB", figure: bulk, run: upload, note: "One connection, plain HTTP, Content-Length; nothing is buffered to disk."},
		{name: "latency", title: "Latency at a fixed rate", unit: "request", figure: latency, direct: true, prepare: findRate, run: pacedLoad,
			note: "Half of the first proxy's peak (the median of three turns of wrk), plain HTTP, 64 connections, in groups 0.2 ms apart, measured from when each request was meant to be sent. " +
				"`p99` is the median of that of windows of half a second, `p99 of all` that of the requests of all rounds together. `direct` is the same load without a proxy: " +
				"what machine, load and backend themselves add (its CPU and RSS are the backend's)."},
		{name: "idle", title: "Idle connections", unit: "connection", figure: memory, fresh: true, run: idlePlain,
			note: "Resident memory, before and after, per keep-alive connection that has had one request."},
		{name: "idle-tls", title: "Idle TLS connections", unit: "connection", figure: memory, fresh: true, run: idleTLS, note: "As above, over TLS 1.3."},
		{name: "websocket", title: "WebSocket echo", unit: "message", run: websocket,
			note: "64 connections, a frame of 32 bytes there and back is one message."},
	}
}

func plain(ctx context.Context, b *bench, t *target) (load, error) {
	return runWrk(ctx, "http://"+t.HTTP+smallPath, plainHost, b.duration)
}

func secure(ctx context.Context, b *bench, t *target) (load, error) {
	_, port, err := splitAddr(t.HTTPS)
	if err != nil {
		return load{}, err
	}
	return runWrk(ctx, fmt.Sprintf("https://%s:%d%s", secureHost, port, smallPath), secureHost, b.duration)
}

func http2(ctx context.Context, b *bench, t *target) (load, error) {
	return runH2load(ctx, t, b.duration)
}

func handshakes(ctx context.Context, b *bench, t *target) (load, error) {
	return runHandshakes(ctx, t, b.duration, false)
}

func resumptions(ctx context.Context, b *bench, t *target) (load, error) {
	return runHandshakes(ctx, t, b.duration, true)
}

func download(ctx context.Context, _ *bench, t *target) (load, error) {
	return runDownload(ctx, t, false)
}

func downloadTLS(ctx context.Context, _ *bench, t *target) (load, error) {
	return runDownload(ctx, t, true)
}

func upload(ctx context.Context, _ *bench, t *target) (load, error) { return runUpload(ctx, t, false) }

// findRate sets the rate of the latency scenario: half of what the first contender, nginx if it takes part, can do. It is the median of
// three turns: from a single lucky one would follow a rate that is too much for all.
func findRate(ctx context.Context, b *bench, targets []*target) error {
	var peaks []float64
	for range 3 {
		l, err := plain(ctx, b, targets[0])
		if err != nil {
			return err
		}
		peaks = append(peaks, l.Done/l.Elapsed.Seconds())
	}
	b.rate = spreadOf(peaks).Median / 2
	return nil
}

func pacedLoad(ctx context.Context, b *bench, t *target) (load, error) {
	return runPaced(ctx, t, b.rate, b.duration)
}

func idlePlain(ctx context.Context, b *bench, t *target) (load, error) {
	return runIdle(ctx, t, false, b.idle)
}

func idleTLS(ctx context.Context, b *bench, t *target) (load, error) {
	return runIdle(ctx, t, true, b.idle)
}

func websocket(ctx context.Context, b *bench, t *target) (load, error) {
	return runEcho(ctx, t, b.duration)
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// chooseScenarios gives the named ones in the order of the list above; empty means all.
func chooseScenarios(list string) ([]scenario, error) {
	names, err := choose("scenario", list, scenarioNames())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(scenarios(), func(s scenario) bool { return !slices.Contains(names, s.name) }), nil
}

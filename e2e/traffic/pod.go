//go:build linux

package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// PodVariable holds a Pod's options, as JSON, in the environment of its process.
const PodVariable = "USHER_E2E_POD"

// Pod is what a Pod's application does: HTTP/1.1 on one port, gRPC on another, both over TLS on a third.
type Pod struct {
	Name string
	IP   string
	Work time.Duration // what each answer takes
	// Idle is how long a connection is kept between requests; it then ends with a FIN, whatever is on its way. 0 is for ever.
	Idle time.Duration
	// Resets: on SIGTERM idle connections end with an RST.
	Resets bool
	// Grace is how long WebSockets live after SIGTERM.
	Grace time.Duration
	// Journal is a file that gets a line for each POST and gRPC call as its work begins, see [Journal].
	Journal string
}

// The ports of a Pod.
const (
	PortHTTP = "8080"
	PortGRPC = "9090"
	PortTLS  = "8443" // HTTP/1.1 and HTTP/2
)

// Command is the process of a Pod.
func (p Pod) Command() *exec.Cmd {
	options, err := json.Marshal(p)
	if err != nil {
		panic(err) // it has nothing that JSON lacks
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), PodVariable+"="+string(options), "GOMAXPROCS=2")
	return cmd
}

// IsPod reports whether this process is to be a Pod.
func IsPod() bool { return os.Getenv(PodVariable) != "" }

// RunPod is the main function of a Pod's process; it returns its exit status.
func RunPod() int {
	var options Pod
	if err := json.Unmarshal([]byte(os.Getenv(PodVariable)), &options); err != nil {
		fmt.Fprintln(os.Stderr, PodVariable, err)
		return 2
	}
	if err := options.run(); err != nil {
		fmt.Fprintln(os.Stderr, options.Name, err)
		return 1
	}
	return 0
}

// run serves until SIGTERM, and then ends as servers do: no more connections, idle ones are closed, requests in progress are answered
// and so are those on their way, gRPC connections get a GOAWAY. WebSockets end with the grace period.
func (p Pod) run() error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	journal, err := os.OpenFile(p.Journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	a := &application{Pod: p, journal: journal, idle: map[net.Conn]struct{}{}, ending: make(chan struct{})}
	plain := &http.Server{Handler: a.faulty(a), IdleTimeout: p.Idle, ReadHeaderTimeout: time.Minute, ConnState: a.state, ConnContext: keepConn}
	calls := &http.Server{
		Handler: a.faulty(http.HandlerFunc(a.call)), Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute, ConnContext: keepConn,
	}
	calls.Protocols.SetUnencryptedHTTP2(true)
	secure := &http.Server{Handler: a.faulty(a), ReadHeaderTimeout: time.Minute, ConnContext: keepConn}
	defer secure.Close()
	if secure.TLSConfig, err = selfSigned(); err != nil {
		return err
	}
	at, err := net.Listen("tcp", net.JoinHostPort(p.IP, PortHTTP))
	if err != nil {
		return err
	}
	atCalls, err := net.Listen("tcp", net.JoinHostPort(p.IP, PortGRPC))
	if err != nil {
		return err
	}
	atSecure, err := net.Listen("tcp", net.JoinHostPort(p.IP, PortTLS))
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- plain.Serve(at) }()
	go func() { failed <- calls.Serve(atCalls) }()
	go func() { failed <- secure.ServeTLS(atSecure, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-term:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- calls.Shutdown(ctx) }()
	_ = at.Close()
	a.end()
	time.Sleep(p.Grace)
	close(a.ending)
	a.sockets.Wait()
	return errors.Join(plain.Shutdown(ctx), <-ended)
}

// application answers what the clients of this package ask.
type application struct {
	Pod
	journal *os.File
	sockets sync.WaitGroup
	ending  chan struct{} // closed when WebSockets are to end

	mu    sync.Mutex
	ended bool
	idle  map[net.Conn]struct{}
}

// ServeHTTP implements http.Handler.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.ended {
		w.Header().Set("Connection", "close")
	}
	a.mu.Unlock()
	switch {
	case r.URL.Path == "/healthz":
	case r.URL.Path == "/client":
		fmt.Fprintln(w, r.Header.Get("X-Real-IP"))
	case r.URL.Path == socketPath:
		a.sockets.Add(1)
		defer a.sockets.Done()
		serveWebSocket(w, r, a.ending)
	case r.Method == http.MethodPost:
		a.post(w, r)
	default:
		time.Sleep(a.Work)
		fmt.Fprintln(w, a.Name)
	}
}

// post does its work when it has the whole body, and says how much that was.
func (a *application) post(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	a.write(r)
	time.Sleep(a.Work)
	fmt.Fprintln(w, n)
}

// write tells the journal that the work for a request begins. What is written there survives the process.
func (a *application) write(r *http.Request) {
	if _, err := fmt.Fprintf(a.journal, "%s %s\n", r.Header.Get(idField), a.Name); err != nil {
		panic(err)
	}
}

func (a *application) state(c net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.idle, c)
	if state == http.StateIdle {
		a.idle[c] = struct{}{}
	}
}

// end closes idle connections. It lets their own goroutines do that, when a read has found nothing: a server that closes them over
// its readers' heads loses requests that were read and not yet begun, as http.Server.Shutdown does on a busy machine.
func (a *application) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for c := range a.idle {
		if tcp, ok := c.(*net.TCPConn); ok && a.Resets {
			_ = tcp.SetLinger(0)
		}
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

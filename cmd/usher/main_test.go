package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asMain makes the test binary be usher, so that tests can send real signals to a real process without building one.
const asMain = "USHER_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience is how long anything may take here.
const patience = time.Minute

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// usher runs a command to its end.
func usher(args ...string) (code int, stdout, stderr string) {
	var out, errors buffer
	code = run(context.Background(), args, console{in: strings.NewReader(""), out: &out, err: &errors})
	return code, out.String(), errors.String()
}

// process is a running `usher serve`.
type process struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, err    *buffer
	http, https string // addresses
	admin       string
	ended       chan error
}

// serve starts `usher serve` on free ports and waits until it serves.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, out: &buffer{}, err: &buffer{}, ended: make(chan error, 1)}
	args = append([]string{"serve", "--bind-address=127.0.0.1", "--admin-address=127.0.0.1", "--http-port=0", "--https-port=0", "--admin-port=0"}, args...)
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asMain+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", p.out, p.err)
		}
	})
	p.eventually("the line that says what is served", func() bool { return p.readAddresses() })
	return p
}

// readAddresses finds the ports in the line "serving" of the log.
func (p *process) readAddresses() bool {
	select {
	case err := <-p.ended:
		p.t.Fatalf("usher ended: %v", err)
	default:
	}
	for line := range strings.Lines(p.err.String()) {
		var record struct {
			Msg         string
			HTTP, HTTPS []string
			Admin       string
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "serving" {
			p.http, p.https, p.admin = record.HTTP[0], record.HTTPS[0], record.Admin
			return true
		}
	}
	return false
}

func (p *process) eventually(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	p.t.Fatalf("waited %s in vain for %s", patience, what)
}

// get asks for a path of a host over plain HTTP.
func (p *process) get(host, path string) (status int, header http.Header, body string) {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+p.http+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Host = host
	return p.do(http.DefaultTransport, r)
}

func (p *process) do(transport http.RoundTripper, r *http.Request) (status int, header http.Header, body string) {
	p.t.Helper()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer answer.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(answer.Body)
	return answer.StatusCode, answer.Header, b.String()
}

// signal sends SIGTERM.
func (p *process) signal() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		select {
		case <-p.ended:
		case <-time.After(patience):
		}
		p.t.Fatal("usher does not end")
		return -1
	}
}

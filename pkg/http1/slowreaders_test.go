package http1

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	slowReaders  = 200
	slowDownload = 1 << 30
	slowAddress  = "USHER_TEST_SLOW_READERS" // tells the child process where the proxy is, and how to speak to it
)

// TestMemoryOfSlowReaders: a download of 1 GiB by 200 readers that are much slower than its origin must not make the process grow by
// more than 32 MiB: over plain sockets, with a coding that prevents splicing, and over TLS. Origin and readers are another process,
// so that what is measured is the resident memory of the proxy alone.
func TestMemoryOfSlowReaders(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("measures memory")
	}
	for _, c := range []struct{ scheme, path string }{{"http", "/length"}, {"http", "/chunked"}, {"https", "/length"}} {
		t.Run(c.scheme+c.path, func(t *testing.T) { testSlowReaders(t, c.scheme, c.path) })
	}
}

func testSlowReaders(t *testing.T, scheme, path string) {
	const limit = 32 << 20
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestSlowReadersElsewhere$")
	child.Env = append(os.Environ(), slowAddress+"="+scheme+" "+front.Addr().String()+" "+path)
	child.Stderr = os.Stderr
	said, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hold.Close(); _ = child.Wait() }()
	lines := bufio.NewScanner(said)
	origin := lineAfter(t, lines, "origin ")
	s := &Server{Handler: proxyHandler(&Transport{Dial: dialTo(origin)})}
	if scheme == "https" {
		front = tls.NewListener(front, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	}
	go func() { _ = s.Serve(front) }()
	defer func() { _ = s.Close() }()

	before := resident(t)
	_, _ = fmt.Fprintln(hold, "go")
	lineAfter(t, lines, "all read")
	var most int64
	for range 10 { // all 200 are in the midst of it
		most = max(most, resident(t)-before)
		time.Sleep(50 * time.Millisecond)
	}
	if active := s.Stats().Active; active != slowReaders {
		t.Errorf("%d downloads under way, want %d", active, slowReaders)
	}
	t.Logf("%d slow readers: %d KiB more resident memory", slowReaders, most>>10)
	if most > limit {
		t.Errorf("more than %d KiB", limit>>10)
	}
}

// lineAfter returns what follows prefix in the child's line that begins with it.
func lineAfter(t *testing.T, lines *bufio.Scanner, prefix string) string {
	t.Helper()
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			return rest
		}
	}
	t.Fatalf("the child process ended without saying %q", prefix)
	return ""
}

// resident is the process's resident memory.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestSlowReadersElsewhere is the child process of TestMemoryOfSlowReaders: the origin, and its readers.
func TestSlowReadersElsewhere(t *testing.T) {
	scheme, rest, ok := strings.Cut(os.Getenv(slowAddress), " ")
	if !ok {
		t.Skip("is a part of TestMemoryOfSlowReaders")
	}
	proxy, path, _ := strings.Cut(rest, " ")
	origin := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.Itoa(slowDownload))
		}
		_, _ = io.Copy(w, io.LimitReader(zeros{}, slowDownload))
	})})
	fmt.Println("origin " + origin)
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	var begun sync.WaitGroup
	for range slowReaders {
		begun.Add(1)
		go readSlowly(t, scheme, proxy, path, begun.Done)
	}
	begun.Wait()
	fmt.Println("all read")
	_, _ = in.ReadString('\n') // until the parent has measured
	os.Exit(0)
}

// readSlowly reads 1 KiB every few milliseconds, for ever, and calls begun when it has had a quarter of a mebibyte.
func readSlowly(t *testing.T, scheme, proxy, path string, begun func()) {
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Error(err)
		return
	}
	if scheme == "https" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	buf := make([]byte, 1<<10)
	for had := 0; ; time.Sleep(2 * time.Millisecond) {
		n, err := c.Read(buf)
		if err != nil {
			t.Error(err)
			return
		}
		if had += n; had >= 256<<10 && begun != nil {
			begun()
			begun = nil
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

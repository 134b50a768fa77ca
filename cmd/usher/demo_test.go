package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDemo runs the demo and does what it prints.
func TestDemo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, log, terminal buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"demo"}, console{in: strings.NewReader(""), out: io.MultiWriter(&out, &terminal), err: io.MultiWriter(&log, &terminal)})
	}()
	p := &process{t: t, out: &out, err: &log}
	p.eventually("what to try", func() bool { return strings.Contains(out.String(), "Ctrl-C ends the demo") })
	if text := terminal.String(); !strings.HasPrefix(text, "Welcome to Usher") {
		t.Errorf("the demo begins with\n%.200s", text)
	}
	want := [][2]string{ // what the command holds, what its answer holds; the first that fits
		{"lint ", "chekout"}, {"explain ", "no-service"}, {"/checkout", "503"}, {"/cart/1", "cart-0"}, {"shop.localhost' http", "308"},
		{"https://shop.localhost:", "web-"}, {"/v1/status", "web-"}, {"blue.apps", "web-"}, {"nobody", "404"},
		{"X-Next", "api-next-0"}, {"account.localhost", "web-"},
	}
	tried := 0
	for line := range strings.Lines(out.String()) {
		words := shellWords(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		var got string
		switch {
		case words[0] == "curl":
			got = curl(t, words[1:])
			if again := curl(t, words[1:]); strings.Contains(line, "account.") && firstWord(again) != firstWord(got) {
				t.Errorf("%sthe session moved from %s to %s", line, firstWord(got), firstWord(again))
			}
		case strings.HasPrefix(line, thisProgram()+" "):
			_, got, _ = usher(shellWords(strings.TrimPrefix(line, thisProgram()))...)
		default:
			continue
		}
		tried++
		for _, w := range want {
			if strings.Contains(line, w[0]) {
				if !strings.Contains(got, w[1]) {
					t.Errorf("%swant %q, got:\n%s", line, w[1], got)
				}
				break
			}
		}
	}
	if tried < 11 {
		t.Errorf("only %d commands to try in:\n%s", tried, out.String())
	}
	cancel()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d: %s", code, log.String())
		}
	case <-time.After(patience):
		t.Fatal("the demo does not end")
	}
	_, folder, _ := strings.Cut(out.String(), "quickstart from ")
	folder, _, _ = strings.Cut(folder, "\n")
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("folder %q is still there: %v", folder, err)
	}
}

// firstWord is the name of the backend that answered, after the status.
func firstWord(answer string) string { return strings.Join(strings.Fields(answer)[:2], " ") }

// shellWords splits a command line; single quotes keep words together.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(strings.TrimSpace(line), "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// curl does what curl would do with the options that the demo uses: -i, -H, -b, -c, --cacert and --resolve.
func curl(t *testing.T, args []string) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}} //nolint:gosec // its version is the default
	defer transport.CloseIdleConnections()
	r, _ := http.NewRequest(http.MethodGet, "http://nowhere.test/", nil)
	jar := os.DevNull
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-i":
		case "-H":
			i++
			if name, value, _ := strings.Cut(args[i], ": "); name == "Host" {
				r.Host = value
			} else {
				r.Header.Set(name, value)
			}
		case "-b":
			i++
			if cookie, err := os.ReadFile(args[i]); err == nil {
				r.Header.Set("Cookie", string(cookie))
			}
		case "-c":
			i++
			jar = args[i]
		case "--cacert":
			i++
			pem, err := os.ReadFile(args[i])
			if err != nil || !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
				t.Fatalf("%s: no certificate: %v", args[i], err)
			}
		case "--resolve":
			i++
			part := strings.Split(args[i], ":")
			transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(part[2], part[1]))
			}
		default:
			u, err := r.URL.Parse(args[i])
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
		}
	}
	if r.Host == "nowhere.test" {
		r.Host = r.URL.Host
	}
	p := &process{t: t}
	status, header, body := p.do(transport, r)
	if cookie, _, set := strings.Cut(header.Get("Set-Cookie"), ";"); set {
		if err := os.WriteFile(jar, []byte(cookie), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(status, " ", body)
}

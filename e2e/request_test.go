//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// newClient makes a client whose every request goes to this replica, whatever
// its URL's host; it follows no redirects. A nil config trusts any certificate.
func (u *usher) newClient(config *tls.Config) *http.Client {
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true}
	}
	transport := &http.Transport{
		TLSClientConfig:     config,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort(u.address, port))
		},
	}
	u.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response, read to its end.
type answer struct {
	*http.Response
	body string
	echo cluster.Echo // what the backend has seen; empty if none answered
}

// String is the name of the backend that has answered or, for an answer of
// Usher's own, the status and the reason: "404 no-path".
func (a *answer) String() string {
	if a.echo.Backend != "" {
		return a.echo.Backend
	}
	return fmt.Sprintf("%d %s", a.StatusCode, a.Header.Get("X-Usher-Reason"))
}

// get makes a request with the replica's client. Each header is "name: value".
func (u *usher) get(url string) (*answer, error) { return get(u.client, url) }

func get(client *http.Client, url string) (*answer, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	return readAnswer(response)
}

// readAnswer reads a response to its end.
func readAnswer(response *http.Response) (*answer, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{Response: response, body: string(body)}
	_ = json.Unmarshal(body, &a.echo) // other answers are no echo
	return a, nil
}

// expect waits until the URL is answered as wanted, see answer.String.
func (u *usher) expect(url, want string) *answer {
	u.t.Helper()
	var last *answer
	await(u.t, func() error {
		a, err := u.get(url)
		if err != nil {
			return err
		}
		if last = a; a.String() != want {
			return fmt.Errorf("%s is answered by %q, want %q", url, a, want)
		}
		return nil
	})
	return last
}

// load is a steady stream of requests over connections that stay open.
type load struct {
	sent   atomic.Int64
	mu     sync.Mutex
	failed []error
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// load sends GET requests, eight at a time and in all some hundreds a second,
// until finish is called.
func (u *usher) load(url string) *load {
	ctx, stop := context.WithCancel(u.t.Context())
	l := &load{stop: stop}
	client := u.newClient(nil)
	for range 8 {
		l.done.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				l.request(client, url)
				<-tick.C
			}
		})
	}
	return l
}

func (l *load) request(client *http.Client, url string) {
	a, err := get(client, url)
	if err == nil && a.StatusCode != http.StatusOK {
		err = errors.New(a.String())
	}
	l.sent.Add(1)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = append(l.failed, fmt.Errorf("%s: %w", time.Now().Format(time.StampMilli), err))
	}
}

// more waits until another n requests have been answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	want := l.sent.Load() + n
	await(t, func() error {
		if sent := l.sent.Load(); sent < want {
			return fmt.Errorf("%d requests, want %d", sent, want)
		}
		return nil
	})
}

// finish ends the load and fails the test if a request has failed.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed, first and last:\n%v\n%v", len(l.failed), l.sent.Load(), l.failed[0], l.failed[len(l.failed)-1])
	}
	t.Logf("%d requests", l.sent.Load())
}

//go:build linux

package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

const (
	answerTimeout = 10 * time.Second
	// spread is how many requests have to reach all endpoints of a Service:
	// with ten that are chosen by chance, one in 4,000 runs misses one.
	spread = 100
	sent   = "what the client sends"
)

// asker sends requests to the controller as a client on the network would.
type asker struct {
	http, https string // addresses of the controller, host:port
	stage       *stage
}

// check returns nil when the answer to r is one of those wanted.
func (a *asker) check(ctx context.Context, r Request) error {
	var got string
	for _, want := range r.Want {
		service, count, several := strings.Cut(want, "/")
		if several {
			n, err := strconv.Atoi(count)
			if err != nil {
				return fmt.Errorf("%s: %w", want, err)
			}
			return a.spreads(ctx, r, service, n)
		}
		who, err := a.ask(ctx, r)
		if err != nil {
			return err
		}
		who, _, _ = strings.Cut(who, "/")
		if who == want || len(want) == 3 && strings.HasSuffix(want, "xx") && len(who) == 3 && who[0] == want[0] {
			return nil
		}
		got = who
	}
	return fmt.Errorf("answered by %q, want %s", got, strings.Join(r.Want, " or "))
}

// spreads returns nil when n endpoints of the Service answer, and nobody else.
func (a *asker) spreads(ctx context.Context, r Request, service string, n int) error {
	seen := map[string]bool{}
	for range spread {
		who, err := a.ask(ctx, r)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(who, service+"/") {
			return fmt.Errorf("answered by %q, want %s", who, service)
		}
		seen[who] = true
	}
	if len(seen) != n {
		return fmt.Errorf("%d requests were answered by %d endpoints of %s, want %d", spread, len(seen), service, n)
	}
	return nil
}

// ask tells who answers: "service/endpoint", or the status of an answer that
// came from no Pod. It is an error if the request arrived otherwise than sent.
func (a *asker) ask(ctx context.Context, r Request) (who string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var body io.Reader
	want := cluster.Echo{Method: r.Method, Host: r.URL.Host, Path: r.URL.RequestURI()}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		body, want.Body = strings.NewReader(sent), sent
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), body)
	if err != nil {
		return "", err
	}
	transport := a.transport(r)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var got cluster.Echo
	if json.Unmarshal(text, &got) != nil || got.Backend == "" {
		return strconv.Itoa(response.StatusCode), nil
	}
	if got.Method != want.Method || !strings.EqualFold(got.Host, want.Host) || got.Path != want.Path || got.Body != want.Body {
		return "", fmt.Errorf("arrived as %s %q, Host %q, body %q", got.Method, got.Path, got.Host, got.Body)
	}
	return got.Backend, nil
}

// transport goes to the controller whatever the URL's host, and with TLS takes
// no certificate but the one that is in the Secret now. It has a connection of
// its own, as a new client has.
func (a *asker) transport(r Request) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address := a.http
			if r.URL.Scheme == "https" {
				address = a.https
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: a.stage.authority.Pool(), MinVersion: tls.VersionTLS12, VerifyConnection: a.current},
	}
}

// current returns nil for a certificate that a Secret has.
func (a *asker) current(state tls.ConnectionState) error {
	for _, pair := range a.stage.certificates {
		block, _ := pem.Decode(pair.Cert)
		if block == nil {
			continue
		}
		if leaf, err := x509.ParseCertificate(block.Bytes); err == nil && leaf.Equal(state.PeerCertificates[0]) {
			return nil
		}
	}
	return errors.New("served with a certificate that is in no Secret")
}

package resolve_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

var update = flag.Bool("update", false, "write the expectations of the fixtures")

func TestFixtures(t *testing.T) {
	files := fixtureFiles(t)
	if len(files) < 120 {
		t.Errorf("%d fixtures, want at least 120", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".yaml")
		t.Run(name, func(t *testing.T) {
			f := readFixture(t, file)
			got := f.result(resolve.New(f.options).Resolve(f.snapshot, now))
			if *update {
				if err := os.WriteFile(file, []byte(f.head+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != f.sections {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, f.sections)
			}
			if lines := strings.Count(f.head+f.sections, "\n"); lines > 60 {
				t.Errorf("%s has %d lines, want at most 60", file, lines)
			}
			if !strings.HasPrefix(f.head, "# ") {
				t.Errorf("%s does not begin with the rule it shows", file)
			}
		})
	}
}

// answer is what a client gets: the backend, and over HTTPS the certificate; or the status and reason. request is a URL, which may be
// followed by a header field, as in "http://shop.example.com/ X-Canary: always".
func answer(t *route.Table, request string) string {
	url, field, _ := strings.Cut(request, " ")
	scheme, rest, _ := strings.Cut(url, "://")
	host, target, _ := strings.Cut(rest, "/")
	d := decide.Decision{}
	decide.Decide(t, &decide.Request{
		Method: "GET", Proto: 1, Host: host, Target: "/" + target, TLS: scheme == "https", ServerName: host, Peer: "192.0.2.1", Header: headerOf(field),
	}, still{}, &d)
	a := outcome(&d)
	if d.Ask.TLS && d.Ask.Path != "" {
		a += ", " + certificateFor(t, host)
	}
	return a
}

func headerOf(line string) map[string][]string {
	name, value, _ := strings.Cut(line, ": ")
	return map[string][]string{name: {value}}
}

// outcome is the backend, or the answer: "demo/web:80, for 20 of 100 demo/new:80" where chance decides.
func outcome(d *decide.Decision) string {
	if !d.Sends() {
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", d.Answer.Status, d.Answer.Reason, d.Answer.Location))
	}
	name := d.Upstream.Backend.Name
	if c := d.Match.Route.Canary; d.Rule == policy.ByWeight && !d.Canary && c.Policy.Weight > 0 {
		return fmt.Sprintf("%s, for %d of %d %s", name, c.Policy.Weight, c.Policy.Total, d.Table.Backends[c.Backend].Name)
	}
	return name
}

// still is a decide.Env without chance, in which clients show no certificate and have no session.
type still struct{}

func (still) NewID() string                                            { return "" }
func (still) LocalPort() int                                           { return 0 }
func (still) Judge(*route.ClientAuth) *decide.Certificate              { return nil }
func (still) Holds(*decide.Decision, decide.Upstream, string) bool     { return false }
func (still) Chance() float64                                          { return 1 - 1e-9 }
func (still) Count(*policy.Limit, policy.Ref, netip.Addr) decide.Count { return decide.Within }
func (still) Mark(decide.Upstream) string                              { return "" }

func certificateFor(t *route.Table, name string) string {
	found := t.Certificates.Find(name)
	if len(found) == 0 && t.Certificates.Default != nil {
		return "default certificate"
	}
	if len(found) == 0 {
		return "self-signed"
	}
	var from []string
	for _, c := range found {
		from = append(from, c.TLS.Leaf.PublicKeyAlgorithm.String()+" of "+c.Secret.String())
	}
	return strings.Join(from, " or ")
}

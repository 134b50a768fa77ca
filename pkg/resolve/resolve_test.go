package resolve_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

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
	path, err := route.Normalize("/" + target)
	if err != nil {
		return "400 bad-request"
	}
	a := answerOf(t, &policy.Request{Method: "GET", Scheme: scheme, TLS: scheme == "https", Named: host, Host: host, Path: path, Target: "/" + target}, headerOf(field))
	if scheme == "https" {
		a += ", " + certificateFor(t, host)
	}
	return a
}

// fields are the header of a request.
type fields map[string]string

func (f fields) Get(name string) string { return f[name] }

func headerOf(line string) fields {
	name, value, _ := strings.Cut(line, ": ")
	return fields{name: value}
}

func answerOf(t *route.Table, r *policy.Request, header fields) string {
	m := t.Lookup(r.Host, r.Path)
	if m.Route == nil {
		return status(404, m.Reason)
	}
	if auth := t.ClientAuth(m); auth != nil && r.Scheme == "https" {
		if auth.Broken != "" {
			return status(503, auth.Broken)
		}
		if a := auth.Policy.Admit(policy.Verdict{}, nil); a.Status != 0 {
			return strings.TrimSpace(status(a.Status, a.Reason) + " " + a.Location)
		}
	}
	if a := m.Route.Policy.Early(r, m.Host != nil && m.Host.TLS, deaf{}); a.Status != 0 {
		return strings.TrimSpace(status(a.Status, a.Reason) + " " + a.Location)
	}
	if m.Route.Broken != "" {
		return status(503, m.Route.Broken)
	}
	if b := t.Backend(m.Route); b.Reason != "" {
		return status(b.Reason.Explain().Status, b.Reason)
	}
	return withCanary(t, m.Route, header)
}

// withCanary is the backend of a route for this header: "demo/web:80, for 20 of 100 demo/new:80" where chance decides.
func withCanary(t *route.Table, r *route.Route, header fields) string {
	primary, c := t.Backend(r).Name, r.Canary
	if c == nil || c.Broken != "" || len(t.Backends[c.Backend].Endpoints) == 0 {
		return primary
	}
	canary := t.Backends[c.Backend].Name
	if always, _ := c.Policy.Picks(header, 1-1e-9); always {
		return canary
	}
	if lucky, _ := c.Policy.Picks(header, 0); lucky {
		return fmt.Sprintf("%s, for %d of %d %s", primary, c.Policy.Weight, c.Policy.Total, canary)
	}
	return primary
}

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

func status(code int, reason policy.Reason) string { return strconv.Itoa(code) + " " + string(reason) }

// deaf is an Env that forgets notes.
type deaf struct{}

func (deaf) Note(policy.Phase, string) {}

package explain_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
	"github.com/usher-ingress/usher/pkg/source"
)

var update = flag.Bool("update", false, "write the expected texts anew")

func now() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }

func world(t *testing.T) *route.Table {
	t.Helper()
	s, err := source.ReadDir("testdata/world.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Problems) > 0 {
		t.Fatal(s.Problems)
	}
	return resolve.New(resolve.Options{
		ControllerClass: "usher.dev/ingress-controller", IngressClass: "usher",
		ConfigMap: object.Key{Namespace: "usher", Name: "usher"},
	}).Resolve(s, now())
}

// TestTexts: each case is a file whose first line is the question, "METHOD URL [-a] [Name: value ...]" with parts split by "|", and
// whose rest is the answer.
func TestTexts(t *testing.T) {
	table := world(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			question, want, _ := strings.Cut(string(data), "\n")
			got := fold(ask(t, table, question))
			if *update {
				if err := os.WriteFile(file, []byte(question+"\n"+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", question, got, want)
			}
		})
	}
}

// fold makes one line of the settings that nobody wrote, so that a new option changes no expectation.
func fold(text string) string {
	standard := regexp.MustCompile(`(?m)^setting .*", default\n`)
	first := true
	return standard.ReplaceAllStringFunc(text, func(string) string {
		if first {
			first = false
			return "setting ... default\n"
		}
		return ""
	})
}

func ask(t *testing.T, table *route.Table, question string) string {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(question, "? "), " | ")
	method, target, ok := strings.Cut(parts[0], " ")
	if !ok {
		t.Fatalf("question %q: want '? METHOD URL | option | ...'", question)
	}
	verbose, client, fields := false, netip.Addr{}, []string(nil)
	for _, p := range parts[1:] {
		switch {
		case p == "all":
			verbose = true
		case strings.HasPrefix(p, "from "):
			client = netip.MustParseAddr(strings.TrimPrefix(p, "from "))
		default:
			fields = append(fields, p)
		}
	}
	r, err := explain.Parse(method, target, fields)
	if err != nil {
		t.Fatal(err)
	}
	r.Client, r.Now = client, now()
	e, err := explain.Explain(table, r)
	if err != nil {
		t.Fatal(err)
	}
	return e.Text(verbose)
}

// TestPhasesAreInOrder: whatever the request, phases are listed in policy's order and never after the one that answered.
func TestPhasesAreInOrder(t *testing.T) {
	table := world(t)
	for _, target := range []string{"https://shop.example.com/", "shop.example.com", "http://nobody.test/", "https://closed.example.com/x"} {
		e, err := explain.Explain(table, explain.Request{URL: target})
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, s := range e.Phases {
			for at < len(policy.Phases()) && policy.Phases()[at] != s.Phase {
				at++
			}
			if at == len(policy.Phases()) {
				t.Errorf("%s: phases out of order: %v", target, e.Phases)
			}
		}
	}
}

func TestJSONSurvivesTheWay(t *testing.T) {
	e, err := explain.Explain(world(t), explain.Request{URL: "https://shop.example.com/checkout"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back explain.Explanation
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if got, want := back.Text(true), e.Text(true); got != want {
		t.Errorf("after JSON:\n%s\nbefore:\n%s", got, want)
	}
}

func TestQuerySurvivesTheWay(t *testing.T) {
	r := explain.Request{Method: "POST", URL: "https://a.example/b?c=d&e", Header: http.Header{"X-A": {"1", "2"}}, Client: netip.MustParseAddr("203.0.113.7")}
	back, err := explain.ParseQuery(r.Query())
	if err != nil {
		t.Fatal(err)
	}
	if back.Method != r.Method || back.URL != r.URL || back.Client != r.Client || len(back.Header["X-A"]) != 2 {
		t.Errorf("got %+v, want %+v", back, r)
	}
}

func TestBadRequests(t *testing.T) {
	for _, c := range []struct {
		target string
		field  string
		want   string
	}{
		{"ftp://a.example/", "", `URL "ftp://a.example/": want http://HOST/PATH or https://HOST/PATH`},
		{"http://", "", `URL "http://": want http://HOST/PATH or https://HOST/PATH`},
		{"http://a.example/", "no colon", `header "no colon": want 'Name: value'`},
	} {
		var fields []string
		if c.field != "" {
			fields = []string{c.field}
		}
		if _, err := explain.Parse("", c.target, fields); err == nil || err.Error() != c.want {
			t.Errorf("Parse(%q, %q) = %v, want %s", c.target, c.field, err, c.want)
		}
	}
}

func TestZeroTable(t *testing.T) {
	e, err := explain.Explain(&route.Table{}, explain.Request{URL: "https://a.example/"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Answer.Status != 404 || e.Answer.Reason != policy.NoHost || e.Certificate.Match != "self-signed" {
		t.Errorf("got %+v, %+v", e.Answer, e.Certificate)
	}
}

// TestCertificateIsTheHandshakes: a certificate for the name that has expired gives way to a wildcard that has not, as in a handshake.
func TestCertificateIsTheHandshakes(t *testing.T) {
	certificates := &route.Certificates{}
	certificates.Add("shop.example.com", &route.Certificate{Names: []string{"shop.example.com"}, Until: now().Add(-time.Hour)})
	certificates.Add("*.example.com", &route.Certificate{Names: []string{"*.example.com"}, Until: now().Add(time.Hour)})
	e, err := explain.Explain(&route.Table{Certificates: certificates}, explain.Request{URL: "https://shop.example.com/", Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	if c := e.Certificate; c.Match != "name" || len(c.Names) != 1 || c.Names[0] != "*.example.com" || c.Note != "" {
		t.Errorf("got %+v, want the wildcard", c)
	}
}

// TestBrokenTLSBeforeNoEndpoints: where both are wrong the request path names the settings first, so explain does too.
func TestBrokenTLSBeforeNoEndpoints(t *testing.T) {
	r := &route.Route{Path: "/", Type: route.Prefix, Policy: policy.Default(), UpstreamTLS: &route.UpstreamTLS{Broken: policy.UpstreamTLSUnavailable}}
	table := &route.Table{
		Hosts:    route.NewHosts([]*route.Host{{Name: "a.example", Paths: route.NewPaths([]*route.Route{r})}}),
		Backends: []*route.Backend{{Name: "demo/a:443", Protocol: policy.HTTPS, Reason: policy.NoEndpoints, Detail: "none"}},
	}
	e, err := explain.Explain(table, explain.Request{URL: "http://a.example/"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Answer.Reason != policy.UpstreamTLSUnavailable {
		t.Errorf("got reason %s, want %s", e.Answer.Reason, policy.UpstreamTLSUnavailable)
	}
}

// TestWhatNoServerServes: what is refused before any table is asked is explained too, as the bytes that a client would send.
func TestWhatNoServerServes(t *testing.T) {
	table := world(t)
	for _, c := range []struct {
		method, url string
		status      int
	}{
		{"TRACE", "http://shop.example.com/", 405},
		{"get", "http://shop.example.com/", 501},
		{"G T", "http://shop.example.com/", 400},
		{"GET", "http://shop..example.com/", 400},
		{"GET", "http://shop.example.com/a b", 400},
		{"GET", "http://shop.example.com/%zz", 400},
		{"GET", "http://shop.example.com:99999/", 400},
	} {
		e, err := explain.Explain(table, explain.Request{Method: c.method, URL: c.url})
		if err != nil {
			t.Fatal(err)
		}
		if e.Answer.Status != c.status || e.Answer.Reason != policy.BadRequest || e.Answer.Cause == "" {
			t.Errorf("%s %s: got %+v, want status %d", c.method, c.url, e.Answer, c.status)
		}
	}
}

// TestTheTargetIsAsWritten: nothing of it is lost on the way to the endpoint, and the redirect has it.
func TestTheTargetIsAsWritten(t *testing.T) {
	table := world(t)
	for _, target := range []string{"/?", "/a%2Fb?", "/?a=%zz", "/a//b/./c?x=1&y"} {
		e, err := explain.Explain(table, explain.Request{URL: "https://shop.example.com" + target})
		if err != nil {
			t.Fatal(err)
		}
		if e.Sent == nil || e.Sent.Target != target {
			t.Errorf("%s: got %+v", target, e.Sent)
		}
	}
}

// TestShow: a client that shows no certificate is another question than one whose certificate passes.
func TestShow(t *testing.T) {
	table := world(t)
	for shown, want := range map[string]policy.Reason{"": "", "none": policy.NoClientCertificate} {
		r, err := explain.ParseQuery(url.Values{"url": {"https://partners.example.com/"}, "cert": {shown}})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := explain.ParseQuery(r.Query()); err != nil || (back.Shown == nil) != (r.Shown == nil) {
			t.Errorf("%q: %v after %v, %v", shown, back.Shown, r.Shown, err)
		}
		e, err := explain.Explain(table, r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Answer.Reason != want {
			t.Errorf("%q: got %+v, want %q", shown, e.Answer, want)
		}
	}
	if _, err := explain.ParseQuery(url.Values{"url": {"https://a.test/"}, "cert": {"junk"}}); err == nil {
		t.Error("junk is taken for a certificate")
	}
}

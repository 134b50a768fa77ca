package policy

import (
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var ingress = Ref{"Ingress", "demo", "shop"}

func parseOne(name, value string) (*Set, []Problem) {
	return Parse(Default(), Input{Object: ingress, Values: map[string]string{name: value},
		Prefixes: []string{"usher.dev/", "nginx.ingress.kubernetes.io/"}})
}

// TestKeysAreComplete holds every row to its contract: documented, unique, and with a default that parses to what Default gives.
func TestKeysAreComplete(t *testing.T) {
	annotations, configMap := map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			if name != "" && annotations[name] {
				t.Errorf("annotation %s has two rows", name)
			}
			annotations[name] = true
		}
		if k.ConfigMap != "" && configMap[k.ConfigMap] {
			t.Errorf("ConfigMap key %s has two rows", k.ConfigMap)
		}
		configMap[k.ConfigMap] = true
		if k.ID() == "" || k.Doc == "" || k.Values == "" || k.Scope == "" || k.Bad == "" {
			t.Errorf("%s: a field of the row is empty: %+v", k.ID(), k)
		}
		if (k.parse == nil) != (k.Support != Honoured) {
			t.Errorf("%s: a row has a parser exactly when it is honoured", k.ID())
		}
	}
}

func TestDefaultsAreWhatTheTableSays(t *testing.T) {
	for _, k := range Keys() {
		if k.parse == nil || k.Default == "" || k.ID() == "proxy-real-ip-cidr" || k.ID() == "backend-protocol" {
			continue // the first trusts IPv6 too, the second is left to appProtocol
		}
		set := *Default()
		if err := k.parse(&set, k.Default); err != nil {
			t.Errorf("%s: the default %q does not parse: %v", k.ID(), k.Default, err)
		}
		if !reflect.DeepEqual(set, *Default()) {
			t.Errorf("%s: parsing the default %q changes the Set", k.ID(), k.Default)
		}
	}
}

func TestReasonsAreComplete(t *testing.T) {
	seen := map[Reason]bool{}
	for _, d := range Reasons() {
		if seen[d.Reason] {
			t.Errorf("%s is listed twice", d.Reason)
		}
		seen[d.Reason] = true
		if !strings.HasSuffix(d.Doc, ".") || !strings.HasSuffix(d.Cure, ".") {
			t.Errorf("%s: doc and cure are sentences", d.Reason)
		}
	}
	if !strings.Contains(Reason("nonsense").Explain().Doc, "not in the list") {
		t.Error("an unknown reason explains itself as one")
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, value string
		get         func(*Set) any
		want        any
	}{
		{"ssl-redirect", "false", func(s *Set) any { return s.Redirect.SSL }, false},
		{"ssl-redirect", "0", func(s *Set) any { return s.Redirect.SSL }, false},
		{"force-ssl-redirect", "TRUE", func(s *Set) any { return s.Redirect.ForceSSL }, true},
		{"proxy-read-timeout", "3600", func(s *Set) any { return s.Timeouts.Read }, time.Hour},
		{"proxy-body-size", "8m", func(s *Set) any { return s.Body.MaxSize }, int64(8 << 20)},
		{"proxy-body-size", "0", func(s *Set) any { return s.Body.MaxSize }, int64(0)},
		{"proxy-body-size", "1G", func(s *Set) any { return s.Body.MaxSize }, int64(1 << 30)},
		{"proxy-request-buffering", "on", func(s *Set) any { return s.Body.Buffer }, true},
		{"backend-protocol", "grpcs", func(s *Set) any { return s.Upstream.Protocol }, GRPCS},
		{"grpc-web", "true", func(s *Set) any { return s.Upstream.GRPCWeb }, true},
		{"upstream-vhost", "inner.example:8080", func(s *Set) any { return s.Upstream.VHost }, "inner.example:8080"},
		{"proxy-next-upstream", "error non_idempotent", func(s *Set) any { return s.Retry }, Retry{Error: true, NonIdempotent: true, Tries: 3}},
		{"proxy-next-upstream", "http_502 invalid_header", func(s *Set) any { return s.Retry }, Retry{InvalidHeader: true, Answers: 1 << 4, Tries: 3}},
		{"limit-rate", "4", func(s *Set) any { return s.Limit.Bandwidth }, int64(4 << 10)},
		{"limit-rate-after", "500", func(s *Set) any { return s.Limit.BandwidthAfter }, int64(500 << 10)},
		{"hsts", "false", func(s *Set) any { return s.HSTS.Value() }, ""},
		{"hsts-max-age", "60", func(s *Set) any { return s.HSTS.Value() }, "max-age=60; includeSubDomains"},
		{"ssl-redirect", " ", func(s *Set) any { return s.Redirect.SSL }, true},
	} {
		set, problems := parseOne("nginx.ingress.kubernetes.io/"+c.name, c.value)
		if got := c.get(set); got != c.want || len(problems) != 0 {
			t.Errorf("%s: %q gives %v with %v, want %v", c.name, c.value, got, problems, c.want)
		}
	}
}

func TestBadValuesKeepTheDefaultAndSaySo(t *testing.T) {
	for name, value := range map[string]string{
		"ssl-redirect": "yes", "proxy-read-timeout": "60s", "proxy-connect-timeout": "0", "proxy-body-size": "lots", "hsts-max-age": "-1",
		"proxy-next-upstream": "error http_501", "upstream-vhost": "a\r\nb", "proxy-request-buffering": "maybe", "backend-protocol": "spdy",
		"proxy-next-upstream-tries": "1e3",
	} {
		set, problems := parseOne("usher.dev/"+name, value)
		if len(problems) != 1 || problems[0].Reason != BadAnnotation || !strings.Contains(problems[0].Message, "want ") {
			t.Errorf("%s %q: want one problem that names the expectation, got %+v", name, value, problems)
		}
		want := Default()
		if set.settings = nil; !reflect.DeepEqual(set, want) {
			t.Errorf("%s %q: the default does not apply: %+v", name, value, set)
		}
	}
}

// TestRestrictionsFailClosed: an option that says who gets in and cannot be honoured lets nobody in.
func TestRestrictionsFailClosed(t *testing.T) {
	for _, name := range []string{"auth-url", "auth-type", "auth-secret", "whitelist-source-range", "denylist-source-range", "limit-rps",
		"satisfy", "enable-modsecurity", "canary", "limit-connections", "auth-snippet"} {
		set, problems := parseOne("nginx.ingress.kubernetes.io/"+name, "some-value")
		if set.Deny == "" || len(problems) != 1 || !problems[0].Error {
			t.Errorf("%s: want paths closed and an error, got deny %q and %+v", name, set.Deny, problems)
		}
		answer := set.Early(&Request{Scheme: "https", Host: "a", Path: "/", Target: "/"}, true)
		if answer.Status != 503 || answer.Reason == "" {
			t.Errorf("%s: want 503 with a reason, got %+v", name, answer)
		}
	}
	if set, _ := parseOne("nginx.ingress.kubernetes.io/enable-modsecurity", "false"); set.Deny != "" {
		t.Error("a restriction that is switched off closes nothing")
	}
	set, problems := ParseConfigMap(Default(), Input{Object: Ref{"ConfigMap", "usher", "usher"}, Values: map[string]string{"global-auth-url": "http://a"}})
	if set.Deny == "" || !strings.Contains(problems[0].Effect, "every Ingress") {
		t.Errorf("an unsupported global restriction closes everything, got %q %+v", set.Deny, problems)
	}
	if set, problems := parseOne("usher.dev/backend-protocol", "fcgi"); set.Deny != UnsupportedProtocol || !problems[0].Error {
		t.Errorf("FCGI closes the paths, got %q %+v", set.Deny, problems)
	}
}

// TestListOfEverybodyClosesNothing: cert-manager's challenges come with the first of these.
func TestListOfEverybodyClosesNothing(t *testing.T) {
	for value, open := range map[string]bool{
		"0.0.0.0/0,::/0": true, "::/0, 10.0.0.0/8, 0.0.0.0/0": true,
		"0.0.0.0/0": false, "::/0": false, "10.0.0.0/8": false, "0.0.0.0/0,::/0,everybody": false, "0.0.0.0,::": false, "::ffff:0.0.0.0/0,::/0": false,
	} {
		for _, name := range []string{"whitelist-source-range", "allowlist-source-range"} {
			set, problems := parseOne("nginx.ingress.kubernetes.io/"+name, value)
			if (set.Deny == "") != open || len(problems) != 1 || problems[0].Error == open {
				t.Errorf("%s %q: deny %q, problems %+v", name, value, set.Deny, problems)
			}
		}
	}
	if set, _ := parseOne("nginx.ingress.kubernetes.io/denylist-source-range", "0.0.0.0/0,::/0"); set.Deny == "" {
		t.Error("who keeps everybody out lets everybody in")
	}
	if set, _ := ParseConfigMap(Default(), Input{Object: Ref{"ConfigMap", "usher", "usher"}, Values: map[string]string{"whitelist-source-range": "0.0.0.0/0,::/0"}}); set.Deny != "" {
		t.Error("a global list of everybody closes everything")
	}
}

func TestOursWinsOverTheirs(t *testing.T) {
	set, problems := Parse(Default(), Input{Object: ingress, Prefixes: []string{"usher.dev/", "nginx.ingress.kubernetes.io/"},
		Values: map[string]string{"usher.dev/proxy-body-size": "2m", "nginx.ingress.kubernetes.io/proxy-body-size": "4m", "kubernetes.io/ingress.class": "x"}})
	if set.Body.MaxSize != 2<<20 || len(problems) != 0 {
		t.Errorf("want 2m and no problem, got %d %v", set.Body.MaxSize, problems)
	}
	for _, s := range set.Settings() {
		if s.Key.Name == "proxy-body-size" && (s.Value != "2m" || !strings.Contains(s.Origin.Field, "usher.dev/proxy-body-size")) {
			t.Errorf("the setting's origin is the annotation that won, got %+v", s)
		}
	}
}

func TestNothingWrittenSharesTheBase(t *testing.T) {
	base := Default()
	if set, _ := Parse(base, Input{Object: ingress, Values: map[string]string{"a": "b"}, Prefixes: []string{"usher.dev/"}}); set != base {
		t.Error("a Set without annotations is the base itself")
	}
	if _, problems := parseOne("usher.dev/no-such-option", "1"); len(problems) != 1 || problems[0].Reason != UnknownAnnotation {
		t.Errorf("an unknown option is named, got %+v", problems)
	}
}

func TestRedirect(t *testing.T) {
	on := Default()
	off, _ := parseOne("usher.dev/ssl-redirect", "false")
	force, _ := parseOne("usher.dev/force-ssl-redirect", "true")
	keep, _ := parseOne("usher.dev/preserve-trailing-slash", "true")
	for _, c := range []struct {
		set    *Set
		scheme string
		tls    bool
		target string
		want   string
	}{
		{on, "http", true, "/a?b=c", "https://h/a?b=c"},
		{on, "http", true, "/a/", "https://h/a"},
		{on, "http", true, "/", "https://h"},
		{keep, "http", true, "/a/", "https://h/a/"},
		{on, "http", false, "/a", ""},
		{on, "https", true, "/a", ""},
		{off, "http", true, "/a", ""},
		{force, "http", false, "/a", "https://h/a"},
		{on, "http", true, "/.well-known/acme-challenge/token", ""},
	} {
		path, _, _ := strings.Cut(c.target, "?")
		got := c.set.Early(&Request{Method: "GET", Scheme: c.scheme, Host: "h", Path: path, Target: c.target}, c.tls)
		if got.Location != c.want || (c.want != "") != (got.Status == 308) {
			t.Errorf("%+v gives %+v", c, got)
		}
	}
}

func TestForwarded(t *testing.T) {
	set, problems := ParseConfigMap(Default(), Input{Values: map[string]string{"use-forwarded-headers": "true", "proxy-real-ip-cidr": "10.0.0.0/8, 192.0.2.1"}})
	if len(problems) != 0 || set.Forwarded.TrustsEveryone() {
		t.Fatalf("unexpected %v", problems)
	}
	f := set.Forwarded
	for addr, want := range map[string]bool{"10.1.2.3": true, "192.0.2.1": true, "192.0.2.2": false, "::ffff:10.1.1.1": true, "2001:db8::1": false} {
		if got := f.Trusts(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Trusts(%s) = %v", addr, got)
		}
	}
	for value, want := range map[string]string{
		"198.51.100.7": "198.51.100.7", "1.1.1.1, 198.51.100.7, 10.0.0.9": "198.51.100.7", "10.0.0.1, 10.0.0.2": "10.0.0.1",
		"evil, 198.51.100.7": "198.51.100.7", "junk": "invalid IP", "": "invalid IP", "[2001:db8::1]:443": "2001:db8::1", "198.51.100.7:81": "198.51.100.7",
	} {
		if got := f.ClientOf(value).String(); got != want {
			t.Errorf("ClientOf(%q) = %s, want %s", value, got, want)
		}
	}
	everyone, _ := ParseConfigMap(Default(), Input{Values: map[string]string{"use-forwarded-headers": "true"}})
	if !everyone.Forwarded.TrustsEveryone() {
		t.Error("without proxy-real-ip-cidr everyone is trusted")
	}
	off := Default().Forwarded
	if off.Trusts(netip.MustParseAddr("10.0.0.1")) || off.TrustsEveryone() {
		t.Error("nobody is trusted by default")
	}
}

func TestRetryAllows(t *testing.T) {
	for _, c := range []struct {
		list, method string
		processed    bool
		after        Failure
		want         bool
	}{
		{"", "POST", false, Broken, true}, {"", "GET", true, Broken, true}, {"", "GET", true, TimedOut, true}, {"", "GET", true, Invalid, false},
		{"", "POST", true, Broken, false}, {"", "PATCH", true, TimedOut, false},
		{"error", "GET", true, TimedOut, false}, {"timeout", "GET", true, Broken, false}, {"timeout", "POST", false, Broken, true},
		{"invalid_header", "GET", true, Invalid, true}, {"invalid_header", "POST", true, Invalid, false},
		{"http_503", "GET", true, Answered, true}, {"http_503", "POST", true, Answered, false}, {"http_503 non_idempotent", "POST", true, Answered, true},
		{"off", "GET", false, Broken, false}, {"error off", "GET", true, Broken, false},
	} {
		set, problems := parseOne("usher.dev/proxy-next-upstream", c.list)
		if got := set.Retry.Allows(c.method, c.processed, c.after); got != c.want || len(problems) != 0 {
			t.Errorf("%+v gives %v, %v", c, got, problems)
		}
	}
}

func TestAnswersThatAreRetried(t *testing.T) {
	set, _ := parseOne("usher.dev/proxy-next-upstream", "http_403 http_404 http_429 http_500 http_502 http_503 http_504")
	one, _ := parseOne("usher.dev/proxy-next-upstream", "http_502")
	for status := 100; status < 600; status++ {
		listed := slices.Contains([]int{403, 404, 429, 500, 502, 503, 504}, status)
		if set.Retry.Answers.Has(status) != listed || one.Retry.Answers.Has(status) != (status == 502) {
			t.Errorf("%d: %v, %v", status, set.Retry.Answers.Has(status), one.Retry.Answers.Has(status))
		}
	}
}

// TestRetryNonIdempotent: the ConfigMap's switch counts beside whatever list an Ingress has, as in ingress-nginx.
func TestRetryNonIdempotent(t *testing.T) {
	base, problems := ParseConfigMap(Default(), Input{Values: map[string]string{"retry-non-idempotent": "true", "proxy-next-upstream": "error"}})
	set, more := Parse(base, Input{Object: ingress, Prefixes: []string{"usher.dev/"}, Values: map[string]string{"usher.dev/proxy-next-upstream": "timeout"}})
	if len(problems)+len(more) != 0 || !set.Retry.Allows("POST", true, TimedOut) || set.Retry.Allows("POST", true, Broken) {
		t.Errorf("%+v %v %v", set.Retry, problems, more)
	}
}

// TestCanaryPattern: a pattern that cannot be read keeps requests with the header from the canary; without the header the other rules
// decide.
func TestCanaryPattern(t *testing.T) {
	for pattern, want := range map[string][3]bool{"^b.t": {true, true, true}, "(?=b)": {false, false, true}} {
		set, problems := Parse(Default(), Input{Object: ingress, Prefixes: []string{"usher.dev/"}, Values: map[string]string{
			"usher.dev/canary": "true", "usher.dev/canary-by-header": "X-C", "usher.dev/canary-by-header-pattern": pattern, "usher.dev/canary-weight": "100"}})
		if bad := !want[0]; bad != (len(problems) == 1) || bad && !strings.Contains(problems[0].Effect, "no request with the header") {
			t.Errorf("%s: %v", pattern, problems)
		}
		for i, header := range []http.Header{{"X-C": {"bit"}}, {"X-C": {"always"}}, {}} {
			if got, _ := set.Canary.Picks(header, 0.5); got != want[i] {
				t.Errorf("%s with %v: %v", pattern, header, got)
			}
		}
	}
}

func TestCanaryRulesAlone(t *testing.T) {
	if _, problems := parseOne("usher.dev/canary-weight", "20"); len(problems) != 1 || !strings.Contains(problems[0].Message, `want canary: "true"`) {
		t.Errorf("%v", problems)
	}
}

// FuzzParse: no text of an annotation may panic, go unreported when unusable, or open what should be closed.
func FuzzParse(f *testing.F) {
	for i, k := range Keys() {
		f.Add(uint16(i), k.Default)
	}
	for _, v := range []string{"on", "1g", "99999999999g", "10.0.0.0/8,::1", "a b", "-1", "\x00", "9223372036854775807k"} {
		f.Add(uint16(3), v)
	}
	f.Fuzz(func(t *testing.T, index uint16, value string) {
		key := Keys()[int(index)%len(Keys())]
		in := Input{Object: ingress, Values: map[string]string{"p/" + key.Name: value}, Prefixes: []string{"p/"}}
		set, problems := Parse(Default(), in)
		if key.Name == "" {
			in.Values = map[string]string{key.ConfigMap: value}
			set, problems = ParseConfigMap(Default(), in)
		}
		if v := strings.TrimSpace(value); v != "" && key.Support != Honoured && len(problems) == 0 {
			t.Errorf("%s %q was dropped in silence", key.ID(), value)
		}
		if len(problems) == 0 && set.Deny != "" {
			t.Errorf("%s %q denies in silence", key.ID(), value)
		}
		if set.Body.MaxSize < 0 || set.Timeouts.Read <= 0 || set.Retry.Tries < 0 {
			t.Errorf("%s %q gives an impossible Set", key.ID(), value)
		}
	})
}

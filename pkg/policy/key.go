package policy

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
)

// Key is one option: its names, values, default, scope, what a bad value does, and its documentation.
type Key struct {
	Name      string   // annotation name without prefix; empty when only a ConfigMap key exists
	Aliases   []string // other annotation names with the same meaning
	ConfigMap string   // ConfigMap key; empty when only an annotation exists
	Values    string   // what may be written: "bool", "seconds", ...
	Default   string   // as one would write it
	Scope     Scope
	Bad       Outcome // what a value that cannot be used does
	Support   Support
	Hidden    bool   // the value is a secret, and is not shown anywhere
	Doc       string // one sentence or two
	exposes   string // what it does to traffic that the option is not honoured, where that may be an attack; "" otherwise

	parse func(*Set, string) error
	spoil func(*Set) // what a value leaves that cannot be used, besides Deny; may be nil
}

// ID is the annotation name, or the ConfigMap key where there is no annotation.
func (k *Key) ID() string {
	if k.Name != "" {
		return k.Name
	}
	return k.ConfigMap
}

// Scope is how far a setting reaches.
type Scope string

// The scopes.
const (
	ScopePath   Scope = "path"   // the paths of the Ingress that carries it
	ScopeHost   Scope = "host"   // every path of the host
	ScopeGlobal Scope = "global" // the whole controller; ConfigMap only
)

// Outcome is what an unusable value does.
type Outcome string

// The outcomes.
const (
	UseDefault Outcome = "default" // the default, or the ConfigMap's value, applies
	DenyAccess Outcome = "deny"    // all paths of the Ingress answer 503, since the option restricts access
)

// Support is what Usher does with an option it recognises.
type Support string

// The degrees of support.
const (
	Honoured    Support = ""            // does what it says
	NoEffect    Support = "no-effect"   // accepted; nothing needs doing here
	Unsupported Support = "unsupported" // recognised and reported; denies access when Bad is DenyAccess
	Refused     Support = "refused"     // never done, for the reason in Doc
)

// Problem is a value that was not used as written.
type Problem struct {
	Origin  Origin
	Reason  Reason
	Error   bool   // traffic is affected; otherwise a warning
	Message string // what was written, what was expected
	Effect  string // what applies instead
}

// Input is the text of settings and where it stands.
type Input struct {
	Object   Ref
	Values   map[string]string
	Prefixes []string // annotation prefixes, strongest first: "usher.dev/", "nginx.ingress.kubernetes.io/"; none for a ConfigMap
}

// Keys lists every option Usher recognises, in the order of the documentation. The list and its rows are read-only.
func Keys() []*Key { return keyList() }

var keyList = sync.OnceValue(func() []*Key {
	var keys []*Key
	for _, group := range [][]Key{
		urlRedirectKeys(), redirectKeys(), hstsKeys(), acmeKeys(), tlsKeys(), clientCertKeys(), forwardedKeys(), timeoutKeys(), bodyKeys(), upstreamKeys(), upstreamTLSKeys(), retryKeys(), headerKeys(),
		stickyKeys(), balanceKeys(), canaryKeys(), limitKeys(), overloadKeys(), healthKeys(), mirrorKeys(), streamKeys(), http2Keys(),
		acceptedKeys(), unsupportedKeys(), refusedKeys(),
	} {
		for i := range group {
			keys = append(keys, &group[i])
		}
	}
	return keys
})

var annotationIndex = sync.OnceValue(func() map[string]*Key {
	index := map[string]*Key{}
	for _, k := range keyList() {
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			if name != "" {
				index[name] = k
			}
		}
	}
	return index
})

var configMapIndex = sync.OnceValue(func() map[string]*Key {
	index := map[string]*Key{}
	for _, k := range keyList() {
		if k.ConfigMap != "" {
			index[k.ConfigMap] = k
		}
	}
	return index
})

// Parse applies the annotations of an Ingress on top of base and returns the result, with a Problem for everything not used as
// written. base is not changed, and is returned itself when nothing was written.
func Parse(base *Set, in Input) (*Set, []Problem) {
	p := parser{base: base, in: in}
	for _, name := range p.annotationNames() {
		p.annotation(name)
	}
	p.canaryAlone()
	p.complete()
	return p.result(), p.problems
}

// ParseConfigMap applies the data of a ConfigMap on top of base.
func ParseConfigMap(base *Set, in Input) (*Set, []Problem) {
	p := parser{base: base, in: in}
	for _, name := range sortedNames(in.Values) {
		p.configMapKey(name)
	}
	return p.result(), p.problems
}

type parser struct {
	base     *Set
	set      *Set // a copy of base, made at the first write
	in       Input
	problems []Problem
}

func (p *parser) result() *Set {
	if p.set == nil {
		return p.base
	}
	return p.set
}

func (p *parser) write() *Set {
	if p.set == nil {
		s := *p.base
		s.settings = append([]Setting(nil), p.base.settings...)
		p.set = &s
	}
	return p.set
}

// annotationNames are the full names under our prefixes, weakest prefix first so that a stronger one overwrites.
func (p *parser) annotationNames() []string {
	var names []string
	for i := len(p.in.Prefixes) - 1; i >= 0; i-- {
		start := len(names)
		for full := range p.in.Values {
			if strings.HasPrefix(full, p.in.Prefixes[i]) {
				names = append(names, full)
			}
		}
		sort.Strings(names[start:])
	}
	return names
}

func (p *parser) annotation(full string) {
	origin := Origin{Object: p.in.Object, Field: fmt.Sprintf("metadata.annotations[%q]", full)}
	name := full
	for _, prefix := range p.in.Prefixes {
		if rest, ok := strings.CutPrefix(full, prefix); ok {
			name = rest
			break
		}
	}
	key, ok := annotationIndex()[name]
	if !ok {
		p.problems = append(p.problems, Problem{Origin: origin, Reason: UnknownAnnotation,
			Message: fmt.Sprintf("annotation %s is not an option of Usher or ingress-nginx", full), Effect: "ignored"})
		return
	}
	p.apply(key, p.in.Values[full], origin, BadAnnotation)
}

func (p *parser) configMapKey(name string) {
	origin := Origin{Object: p.in.Object, Field: fmt.Sprintf("data[%q]", name)}
	key, ok := configMapIndex()[name]
	if !ok {
		p.problems = append(p.problems, Problem{Origin: origin, Reason: UnknownConfigMapKey,
			Message: fmt.Sprintf("ConfigMap key %s is not an option of Usher or ingress-nginx", name), Effect: "ignored"})
		return
	}
	p.apply(key, p.in.Values[name], origin, BadConfigMapKey)
}

// apply writes one value. An empty value counts as not written, as in ingress-nginx.
func (p *parser) apply(key *Key, value string, origin Origin, bad Reason) {
	value = strings.TrimSpace(value)
	if value == "" {
		return
	}
	if key.Support != Honoured {
		p.problems = append(p.problems, p.unsupported(key, value, origin))
		return
	}
	set := *p.write()
	err := key.parse(&set, value)
	if key.Hidden {
		value = "(hidden)"
	}
	if less, ok := errors.AsType[partial](err); ok {
		p.problems = append(p.problems, Problem{Origin: origin, Reason: bad, Message: fmt.Sprintf("%s %q: %v", key.ID(), value, less), Effect: less.effect})
		err = nil
	}
	if err != nil {
		problem := Problem{Origin: origin, Reason: bad, Message: fmt.Sprintf("%s %q: %v", key.ID(), value, err),
			Effect: "the default (" + orNone(key.Default) + ") or the ConfigMap's value applies"}
		if deny, ok := errors.AsType[denial](err); ok {
			problem.Reason = deny.reason
		}
		if key.Bad == DenyAccess || problem.Reason != bad {
			p.set.Deny = problem.Reason
			if key.spoil != nil {
				key.spoil(p.set)
			}
			problem.Error, problem.Effect = true, p.deniedEffect()
		}
		p.problems = append(p.problems, problem)
		return
	}
	set.settings = append(set.settings, Setting{Key: key, Value: value, Origin: origin})
	p.set = &set
}

// complete looks at options that say nothing without another one, a Secret. One that restricts access closes the paths then.
func (p *parser) complete() {
	if p.set == nil {
		return
	}
	if !p.set.ClientCert.Wanted() {
		p.lacks("auth-tls-secret", incompleteClientCert(p.set))
	}
	if !p.set.UpstreamTLS.Wanted() {
		p.lacks("proxy-ssl-secret", incompleteUpstreamTLS(p.set))
	}
}

// lacks reports the options of a group whose Secret is not named; restricts is the one of them that closes the paths, or "".
func (p *parser) lacks(secret, restricts string) {
	family := strings.TrimSuffix(secret, "secret")
	for _, s := range p.set.settings {
		if !strings.HasPrefix(s.Key.Name, family) {
			continue
		}
		problem := Problem{Origin: s.Origin, Reason: IneffectiveAnnotation, Effect: "ignored",
			Message: fmt.Sprintf("%s %q: want %s beside it, without which it says nothing", s.Key.Name, s.Value, secret)}
		if s.Key.Name == restricts {
			p.set.Deny = BadAnnotation
			problem.Reason, problem.Error, problem.Effect = BadAnnotation, true, p.deniedEffect()
		}
		p.problems = append(p.problems, problem)
	}
}

// partial is a parse error of a value of which the rest was used, or in place of which something else applies, as effect says.
type partial struct{ left, effect string }

func (p partial) Error() string { return p.left }

const restApplies = "the rest of it applies"

// denial is a parse error that closes the paths whatever the Key's Outcome is.
type denial struct {
	reason Reason
	want   string
}

func (d denial) Error() string { return d.want }

// unsupported reports an option that is recognised and not honoured, and closes the paths where it would have restricted access.
func (p *parser) unsupported(key *Key, value string, origin Origin) Problem {
	problem := Problem{Origin: origin, Reason: UnsupportedAnnotation, Effect: "ignored",
		Message: fmt.Sprintf("%s %q is not supported by this release: %s", key.ID(), value, key.Doc)}
	if key.Scope == ScopeGlobal {
		problem.Reason = UnsupportedConfigMap
	}
	switch key.Support {
	case NoEffect:
		problem.Reason = IneffectiveAnnotation
		problem.Message = fmt.Sprintf("%s %q has no effect: %s", key.ID(), value, key.Doc)
	case Refused:
		problem.Reason = RefusedAnnotation
		problem.Message = fmt.Sprintf("%s is never executed: %s", key.ID(), key.Doc)
	}
	if key.Name == "use-regex" && !isOff(value) || key.Name == "rewrite-target" {
		p.write().RegexPaths = true
	}
	if key.exposes != "" {
		problem.Error, problem.Effect = true, key.exposes
	}
	restricts := key.Bad == DenyAccess && !(isSwitch(key) && isOff(value))
	if restricts && admitsEverybody(key, value) {
		restricts = false
		problem.Reason = IneffectiveAnnotation
		problem.Message = fmt.Sprintf("%s %q has no effect: it lets everybody in", key.ID(), value)
	}
	if isSnippet(key) && !restricts {
		if directive := restriction(value); directive != "" {
			restricts = true
			if key.Name == "server-snippet" {
				p.write().DenyHost = true
			}
			problem.Message += fmt.Sprintf("; %q may keep requests out", directive)
		}
	}
	if restricts {
		p.write().Deny = problem.Reason
		if key.Support == Refused {
			closeURLRedirect(p.set)
		}
		problem.Error, problem.Effect = true, p.deniedEffect()
	}
	return problem
}

// isSwitch reports whether an option that is not honoured is a boolean. Of the others "off" or "0" is a value like any other, and no
// reason to let anybody in.
func isSwitch(key *Key) bool {
	return strings.HasPrefix(key.ID(), "enable-") || key.Name == "secure-backends" || key.Name == "grpc-backend"
}

func (p *parser) deniedEffect() string {
	if p.in.Object.Kind == "Ingress" {
		return "every path of this Ingress answers 503"
	}
	return "every path of every Ingress answers 503"
}

// isOff reports whether a value switches a restriction off, so that not honouring it opens nothing.
func isOff(value string) bool {
	switch strings.ToLower(value) {
	case "false", "f", "0", "off":
		return true
	}
	return false
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

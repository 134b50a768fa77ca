package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// ingress is one Ingress read on its own: all it says that does not depend on other Ingresses, Services or Secrets.
type ingress struct {
	object   *networkingv1.Ingress
	ref      policy.Ref
	verdict  verdict
	policy   *policy.Set
	hosts    []*hostRules // in the order of the rules, each host once
	byName   map[string]*hostRules
	fallback *path // spec.defaultBackend, may be nil
	catchAll bool  // fallback answers what nothing else claims
	ending   bool  // it is being deleted, by itself or with its namespace: it gives way to all others
	entries  []tlsEntry
	under    map[string]bool // the wildcards above its hosts; nil if it has no TLS entries
	uses     []use

	diagnostics    []route.Diagnostic
	tlsDiagnostics []route.Diagnostic // of its TLS entries as a whole; kept by tls.go

	clientAuth       *route.ClientAuth  // kept by guard.go, like what follows; nil without auth-tls-secret
	upstream         *route.UpstreamTLS // nil without proxy-ssl-secret
	guardDiagnostics []route.Diagnostic
}

// hostRules is what an Ingress declares for one host.
type hostRules struct {
	name  string
	field string // the first rule that names it
	paths []path
}

// path is one declared path.
type path struct {
	field   string
	path    string // normalised
	kind    route.PathType
	backend backendKey
	broken  policy.Reason // why there is no backend
	yields  bool          // it only stands where nobody else does: what was declared cannot be matched
}

// use is a backend that an Ingress goes to, and the field that first does.
type use struct {
	key   backendKey
	field string
}

// resolveIngresses reads the Ingresses that changed or whose class did, and puts them in the place of what they said before.
func (r *Resolver) resolveIngresses(changed *changes) {
	for _, key := range changed.ingresses {
		r.replaceIngress(key, r.work.snapshot.Ingresses[key])
	}
	if !r.work.classes && !r.endingChanged(changed) {
		return
	}
	for key, in := range r.ingresses {
		if r.classes.verdict(in.object) != in.verdict || r.isEnding(in.object) != in.ending {
			r.replaceIngress(key, in.object)
		}
	}
}

// sameDeclaration reports whether two versions of an Ingress differ only in what Usher does not read, such as their status.
// The API server counts up the generation whenever the spec changes.
func sameDeclaration(a, b *networkingv1.Ingress) bool {
	return a == b || a.UID == b.UID && a.Generation != 0 && a.Generation == b.Generation &&
		a.CreationTimestamp.Equal(&b.CreationTimestamp) && maps.Equal(a.Annotations, b.Annotations)
}

// enter makes what an Ingress says count.
func (r *Resolver) enter(in *ingress) {
	r.problems.replace(nil, in.diagnostics)
	for _, h := range in.hosts {
		r.claim(in, h)
	}
	if in.catchAll {
		r.catchAll = append(r.catchAll, in)
		r.anyChanged()
	}
	for _, u := range in.uses {
		r.backends.acquire(u.key, user{ingress: in, field: u.field})
	}
	if in.hasSessions() {
		r.stickyUsers++
	}
	r.enterTLS(in)
	r.enterGuards(in)
}

// leave undoes enter.
func (r *Resolver) leave(in *ingress) {
	r.problems.replace(in.diagnostics, nil)
	for _, h := range in.hosts {
		r.unclaim(in, h)
	}
	if in.catchAll {
		r.catchAll = slices.DeleteFunc(r.catchAll, func(other *ingress) bool { return other == in })
		r.anyChanged()
	}
	for _, u := range in.uses {
		r.backends.release(u.key, in)
	}
	if in.hasSessions() {
		r.stickyUsers--
	}
	r.problems.replace(in.tlsDiagnostics, nil)
	in.tlsDiagnostics = nil
	r.leaveTLS(in)
	r.leaveGuards(in)
}

func (in *ingress) hasSessions() bool { return in.policy != nil && in.policy.Sticky.On }

// claimed notes that the Ingresses with rules for a host changed. Those of any host share it with default backends.
func (w *work) claimed(host string) {
	w.hosts[host] = true
	w.catchAll = w.catchAll || host == ""
}

func (r *Resolver) anyChanged() {
	r.work.catchAll = true
	if r.hosts[""] != nil {
		r.work.hosts[""] = true
	}
}

// readIngress reads one Ingress; one that is not ours declares nothing.
func (r *Resolver) readIngress(object *networkingv1.Ingress, v verdict) *ingress {
	in := &ingress{object: object, verdict: v, ending: r.isEnding(object), ref: policy.Ref{Kind: "Ingress", Namespace: object.Namespace, Name: object.Name}}
	if !v.claimed {
		d := route.Diagnostic{Severity: route.Info, Reason: policy.ClassIgnored, Origin: in.at(classField(object)), Message: v.why, Effect: "this Ingress is left to others"}
		if v.meant {
			d.Severity = route.Warning
		}
		in.report(d)
		return in
	}
	in.readPolicy(v.base, r.options.AnnotationPrefixes)
	in.readFallback()
	in.closeFallback()
	in.readRules(r.options.DisableCatchAll, r.options.Yield)
	in.catchAll = in.fallback != nil && len(object.Spec.Rules) == 0 && !in.isCanary()
	if in.catchAll && r.options.DisableCatchAll {
		in.catchAll = false
		in.reportCatchAll("spec.defaultBackend", "a default backend without rules takes all traffic that nothing else claims")
	}
	if !in.isCanary() {
		in.readTLS()
		in.findWildcards()
	}
	in.collectUses()
	return in
}

// findWildcards lists the wildcards above its hosts.
func (in *ingress) findWildcards() {
	if len(in.entries) == 0 {
		return
	}
	in.under = make(map[string]bool, len(in.hosts))
	for _, h := range in.hosts {
		in.under[wildcardOf(h.name)] = true
	}
}

func classField(object *networkingv1.Ingress) string {
	if object.Spec.IngressClassName == nil && object.Annotations[legacyClass] != "" {
		return fmt.Sprintf("metadata.annotations[%q]", legacyClass)
	}
	return "spec.ingressClassName"
}

// at is the Origin of a field of the Ingress.
func (in *ingress) at(field string) policy.Origin { return policy.Origin{Object: in.ref, Field: field} }

func (in *ingress) report(d route.Diagnostic) { in.diagnostics = append(in.diagnostics, d) }

func (in *ingress) reportCatchAll(field, message string) {
	in.report(route.Diagnostic{
		Severity: route.Warning, Reason: policy.CatchAllDisabled, Origin: in.at(field),
		Message: message + ", and --disable-catch-all is set", Effect: "it is ignored",
	})
}

func (in *ingress) readPolicy(base *policy.Set, prefixes []string) {
	set, problems := policy.Parse(base, policy.Input{Object: in.ref, Values: in.object.Annotations, Prefixes: prefixes})
	in.policy = set
	for _, p := range problems {
		in.report(fromProblem(p))
	}
}

func (in *ingress) readFallback() {
	if b := in.object.Spec.DefaultBackend; b != nil {
		in.fallback = &path{field: "spec.defaultBackend", path: "/", kind: route.Prefix}
		in.readBackend(in.fallback, b, "spec.defaultBackend")
	}
}

// mostPaths is how many paths, and how many names of TLS entries, one Ingress may declare. It is far above what anybody uses, and
// bounds what one object costs everybody else. A path beyond it keeps its place and answers 503, so that its requests never reach a
// wider path; a TLS entry beyond it is taken without its Secret, so that its hosts are still redirected to HTTPS.
const mostPaths = 10_000

// readRules reads the rules. A rule without paths counts as one path.
func (in *ingress) readRules(noCatchAll bool, yield func()) {
	room := mostPaths
	for i := range in.object.Spec.Rules {
		paths := 1
		if rule := &in.object.Spec.Rules[i]; rule.HTTP != nil {
			paths = max(1, len(rule.HTTP.Paths))
		}
		in.readRule(i, max(0, room), noCatchAll)
		yield()
		if room >= 0 && paths > room {
			in.reportTooMany(fmt.Sprintf("spec.rules[%d]", i), "paths", in.declaredPaths(),
				fmt.Sprintf("the first %d are served; each of the others keeps its place and answers 503", mostPaths))
			room = 0
		}
		room -= paths
	}
	in.byName = nil
}

func (in *ingress) declaredPaths() int {
	n := 0
	for i := range in.object.Spec.Rules {
		n++
		if rule := &in.object.Spec.Rules[i]; rule.HTTP != nil {
			n += max(1, len(rule.HTTP.Paths)) - 1
		}
	}
	return n
}

func (in *ingress) reportTooMany(field, what string, found int, effect string) {
	in.report(route.Diagnostic{
		Severity: route.Error, Reason: policy.TooManyRules, Origin: in.at(field),
		Message: fmt.Sprintf("the Ingress has %d %s; want at most %d", found, what, mostPaths), Effect: effect,
	})
}

// readRule reads a rule; its paths from the one with index room on are closed.
func (in *ingress) readRule(i, room int, noCatchAll bool) {
	rule := &in.object.Spec.Rules[i]
	field := fmt.Sprintf("spec.rules[%d]", i)
	name, err := hostName(rule.Host)
	if err != nil {
		in.report(route.Diagnostic{
			Severity: route.Error, Reason: policy.BadHost, Origin: in.at(field + ".host"),
			Message: fmt.Sprintf("host %q: %v", rule.Host, err), Effect: "no request takes this rule",
		})
		return
	}
	if name == "" && noCatchAll {
		in.reportCatchAll(field, "a rule without a host takes the traffic of every host that nothing else claims")
		return
	}
	h := in.hostRules(name, field)
	if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
		in.reportEmptyRule(name, field)
		return
	}
	for j := range rule.HTTP.Paths {
		field := fmt.Sprintf("%s.http.paths[%d]", field, j)
		p, ok := in.readPath(h, &rule.HTTP.Paths[j], field)
		switch {
		case !ok:
			continue
		case p.broken != "":
		case j >= room:
			p.broken = policy.TooManyRules
		default:
			in.readBackend(&p, &rule.HTTP.Paths[j].Backend, field+".backend")
		}
		h.paths = append(h.paths, p)
	}
}

// hostRules is the entry of a host, made at the first rule that names it.
func (in *ingress) hostRules(name, field string) *hostRules {
	if h := in.byName[name]; h != nil {
		return h
	}
	h := &hostRules{name: name, field: field}
	if in.byName == nil {
		in.byName = map[string]*hostRules{}
	}
	in.byName[name] = h
	in.hosts = append(in.hosts, h)
	return h
}

// reportEmptyRule: the API sends all traffic of a rule without paths to the default backend of its Ingress.
func (in *ingress) reportEmptyRule(host, field string) {
	if in.fallback != nil {
		return
	}
	in.report(route.Diagnostic{
		Severity: route.Warning, Reason: policy.EmptyRule, Origin: in.at(field),
		Message: "the rule has no paths, and the Ingress has no spec.defaultBackend to take its traffic",
		Effect:  fmt.Sprintf("requests for %s answer 404, unless another Ingress declares paths for it", sampleHost(host)),
	})
}

// readPath reads a path without its backend; false if it has no place in the URL space.
func (in *ingress) readPath(h *hostRules, declared *networkingv1.HTTPIngressPath, field string) (path, bool) {
	p := path{field: field}
	var why string
	p.path, p.kind, why = declaredPath(declared)
	if why != "" {
		in.reportPath(h, &p, declared.Path, why)
		p.broken, p.yields = policy.BadPath, true
		return p, p.path != ""
	}
	if in.policy.RegexPaths {
		in.closeRegex(h, &p)
	}
	return p, true
}

func (in *ingress) reportPath(h *hostRules, p *path, written, why string) {
	d := route.Diagnostic{
		Severity: route.Error, Reason: policy.BadPath, Origin: in.at(p.field),
		Message: fmt.Sprintf("path %q: %s", written, why), Effect: "no request takes this path",
	}
	if p.path != "" {
		d.Effect = fmt.Sprintf("%s answers 503 rather than falling through to a wider path, unless a well-formed path stands there", sampleURL(h.name, p.path))
	}
	in.report(d)
}

// declaredPath gives a declared path in the form it is matched in, and why it is not a usable one. A path that is empty here has no
// place in the URL space at all. The rules are the API server's, for every pathType.
func declaredPath(p *networkingv1.HTTPIngressPath) (path string, kind route.PathType, why string) {
	written := p.Path
	if written == "" {
		written = "/"
	}
	kind, why = pathType(p.PathType)
	path, err := route.Normalize(written)
	switch {
	case written[0] != '/':
		return "", kind, "want it to start with \"/\""
	case err != nil:
		return "", kind, "want every % to be followed by two hex digits, and no \"..\" above the root"
	case why != "":
	case strings.Contains(written, "//"):
		why = "want no empty elements (\"//\")"
	case hasDots(written):
		why = "want no \".\" or \"..\" elements"
	case strings.Contains(strings.ToUpper(written), "%2F"):
		why = "want no encoded slash (\"%2F\")"
	}
	return path, kind, why
}

// pathType resolves ImplementationSpecific, and no type at all, to Prefix.
func pathType(written *networkingv1.PathType) (route.PathType, string) {
	if written == nil {
		return route.Prefix, ""
	}
	switch *written {
	case networkingv1.PathTypeExact:
		return route.Exact, ""
	case networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific:
		return route.Prefix, ""
	}
	return route.Prefix, fmt.Sprintf("pathType %q: want Exact, Prefix or ImplementationSpecific", *written)
}

func hasDots(path string) bool {
	for element := range strings.SplitSeq(path, "/") {
		if element == "." || element == ".." {
			return true
		}
	}
	return false
}

// readBackend fills in where p goes, or why it goes nowhere.
func (in *ingress) readBackend(p *path, b *networkingv1.IngressBackend, field string) {
	key, reason, why := backendOf(in.object.Namespace, b)
	p.backend, p.broken = key, reason
	if reason != "" {
		in.report(route.Diagnostic{
			Severity: route.Error, Reason: reason, Origin: in.at(field), Message: why,
			Effect: "requests that come here answer 503",
		})
	}
}

func backendOf(namespace string, b *networkingv1.IngressBackend) (backendKey, policy.Reason, string) {
	switch s := b.Service; {
	case b.Resource != nil && s != nil:
		return backendKey{}, policy.BadBackend, "both a service and a resource are given; want one"
	case b.Resource != nil:
		return backendKey{}, policy.ResourceBackend, fmt.Sprintf("resource %s %q: want a service", b.Resource.Kind, b.Resource.Name)
	case s == nil || s.Name == "":
		return backendKey{}, policy.BadBackend, "no service is named; want service.name and service.port"
	case s.Port.Name != "" && s.Port.Number != 0:
		return backendKey{}, policy.BadBackend, fmt.Sprintf("both port name %q and port number %d are given; want one", s.Port.Name, s.Port.Number)
	case s.Port.Name == "" && (s.Port.Number < 1 || s.Port.Number > 65535):
		return backendKey{}, policy.BadBackend, fmt.Sprintf("port number %d: want a number from 1 to 65535, or a name", s.Port.Number)
	default:
		return newBackendKey(object.Key{Namespace: namespace, Name: s.Name}, s.Port), "", ""
	}
}

// collectUses lists the backends of all paths, each once with the first field that names it.
func (in *ingress) collectUses() {
	add := func(p *path) {
		if p.broken == "" {
			in.uses = append(in.uses, use{p.backend, p.field})
		}
	}
	for _, h := range in.hosts {
		for i := range h.paths {
			add(&h.paths[i])
		}
	}
	if in.fallback != nil && (in.catchAll || len(in.hosts) > 0) {
		add(in.fallback)
	}
	slices.SortStableFunc(in.uses, func(a, b use) int {
		return cmp.Or(cmp.Compare(a.key.service.Name, b.key.service.Name), cmp.Compare(a.key.port, b.key.port))
	})
	in.uses = slices.CompactFunc(in.uses, func(a, b use) bool { return a.key == b.key })
}

package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// An Ingress is ours by the first of these that it has; a later one is not asked:
//
//  1. spec.ingressClassName: names an IngressClass whose spec.controller is ours (or, by option, has our name)
//  2. the annotation kubernetes.io/ingress.class: is our name
//  3. neither: the default IngressClass is ours, or the option says that Ingresses without a class are
//
// Of several IngressClasses marked as default the newest counts, then the first by name, as in the API server's admission.

const legacyClass = "kubernetes.io/ingress.class"

// verdict is whether an Ingress is ours. It is comparable.
type verdict struct {
	claimed bool
	class   string      // by which it was claimed, or which it names
	base    *policy.Set // settings its class starts from; nil when not claimed
	why     string      // it is not
	meant   bool        // it is not, and probably was meant to be
}

// classes is what the IngressClasses and ConfigMaps of one Snapshot say.
type classes struct {
	options     *Options
	global      *policy.Set // the controller's ConfigMap
	known       map[string]*networkingv1.IngressClass
	unread      string                 // why none could be read; "" if they could
	ours        map[string]*policy.Set // settings by name of class
	byDefault   string                 // name of the default class; empty if there is none
	parsed      map[parsing]parsedSet
	configMaps  map[object.Key]bool // read, or missed
	diagnostics []route.Diagnostic
}

// parsing is one reading of a ConfigMap on top of other settings; its result is kept while the ConfigMap stays the same, so that
// routes keep their *policy.Set. The zero one stands for the built-in defaults.
type parsing struct {
	key  object.Key
	base *policy.Set
}

type parsedSet struct {
	from     *corev1.ConfigMap
	set      *policy.Set
	problems []policy.Problem
}

// resolveClasses reads classes and settings again if they changed, and marks for re-reading the Ingresses this affects.
func (r *Resolver) resolveClasses(changed *changes) {
	stale := changed.all || changed.classes
	for key := range r.classes.configMaps {
		stale = stale || changed.configMaps[key]
	}
	if !stale {
		return
	}
	before := r.classes.diagnostics
	r.classes = readClasses(r, r.work.snapshot)
	r.problems.replace(before, r.classes.diagnostics)
	r.work.classes = true
	r.work.catchAll = true
}

func readClasses(r *Resolver, s *object.Snapshot) *classes {
	c := &classes{
		options: &r.options, known: s.IngressClasses, unread: s.Unread[object.Change{Kind: object.IngressClass}], ours: map[string]*policy.Set{},
		parsed: map[parsing]parsedSet{}, configMaps: map[object.Key]bool{},
	}
	before := r.classes
	c.parsed[parsing{}] = before.parsed[parsing{}]
	c.global = c.parsed[parsing{}].set
	if key := r.options.ConfigMap; key != (object.Key{}) {
		c.global = c.readGlobal(s, before)
	}
	for _, name := range sortedKeys(s.IngressClasses) {
		if class := s.IngressClasses[name]; c.isOurs(class) {
			c.ours[name] = c.readParameters(class, s, before)
		}
	}
	c.findDefault()
	return c
}

func (c *classes) isOurs(class *networkingv1.IngressClass) bool {
	return class.Spec.Controller == c.options.ControllerClass || c.options.ClassByName && class.Name == c.options.IngressClass
}

func (c *classes) readGlobal(s *object.Snapshot, before *classes) *policy.Set {
	key := c.options.ConfigMap
	set, problems, ok := c.parse(s, before, parsing{key, c.global})
	if !ok {
		c.diagnostics = append(c.diagnostics, route.Diagnostic{
			Severity: route.Warning, Reason: policy.NoConfigMap, Origin: policy.Origin{Object: configMapRef(key), Field: "metadata.name"},
			Message: fmt.Sprintf("the controller's ConfigMap %s %s", key, s.Absent(object.ConfigMap, key)), Effect: "the defaults apply",
		})
	}
	c.report(problems)
	if f := &set.Forwarded; f.TrustsEveryone() {
		field := `data["use-forwarded-headers"]`
		switch {
		case f.ProxyProtocol:
			field = `data["use-proxy-protocol"]`
		case !f.Use:
			field = `data["enable-real-ip"]`
		}
		c.diagnostics = append(c.diagnostics, route.Diagnostic{
			Severity: route.Warning, Reason: policy.TrustEveryone, Origin: policy.Origin{Object: configMapRef(key), Field: field},
			Message: "what proxies say about the client is believed, and proxy-real-ip-cidr lets every address say it",
			Effect:  "any client can choose the address it is seen as",
		})
	}
	return set
}

func (c *classes) parse(s *object.Snapshot, before *classes, p parsing) (*policy.Set, []policy.Problem, bool) {
	c.configMaps[p.key] = true
	configMap, ok := s.ConfigMaps[p.key]
	if !ok {
		return p.base, nil, false
	}
	old, had := before.parsed[p]
	if !had || !sameVersion(old.from, configMap) {
		old = parsedSet{from: configMap}
		values := configMap.Data
		if p.key != c.options.ConfigMap || p.base != c.parsed[parsing{}].set {
			values, old.problems = ofClass(p, values)
		}
		set, problems := policy.ParseConfigMap(p.base, policy.Input{Object: configMapRef(p.key), Values: values})
		old.set, old.problems = set, append(old.problems, problems...)
	}
	c.parsed[p] = old
	return old.set, old.problems, true
}

// readParameters gives the settings of a class: its ConfigMap on top of the controller's.
func (c *classes) readParameters(class *networkingv1.IngressClass, s *object.Snapshot, before *classes) *policy.Set {
	key, why := parametersKey(class.Spec.Parameters)
	if class.Spec.Parameters == nil {
		return c.global
	}
	set := c.global
	if why == "" {
		var problems []policy.Problem
		var ok bool
		if set, problems, ok = c.parse(s, before, parsing{key, c.global}); !ok {
			why = fmt.Sprintf("ConfigMap %s %s", key, s.Absent(object.ConfigMap, key))
		}
		c.report(problems)
	}
	if why != "" {
		c.parametersProblem(class, why, "the controller's settings apply to this class")
	}
	return set
}

// ofClass takes out of a class's ConfigMap the options that are decided before the class of a request is known: whom to believe about
// the client, which header names pass, and what concerns all handshakes.
func ofClass(p parsing, data map[string]string) (map[string]string, []policy.Problem) {
	values := maps.Clone(data)
	var problems []policy.Problem
	for _, key := range sortedKeys(data) {
		set, _ := policy.ParseConfigMap(p.base, policy.Input{Values: map[string]string{key: data[key]}})
		if reflect.DeepEqual(set.Forwarded, p.base.Forwarded) && set.Headers == p.base.Headers &&
			set.TicketKey == p.base.TicketKey && set.RejectHandshake == p.base.RejectHandshake {
			continue
		}
		delete(values, key)
		problems = append(problems, policy.Problem{
			Origin: policy.Origin{Object: configMapRef(p.key), Field: fmt.Sprintf("data[%q]", key)}, Reason: policy.ClassParameters,
			Message: key + " is decided before the class of a request is known", Effect: "ignored; only the controller's ConfigMap sets it",
		})
	}
	return values, problems
}

func parametersKey(p *networkingv1.IngressClassParametersReference) (object.Key, string) {
	switch {
	case p == nil:
		return object.Key{}, ""
	case p.APIGroup != nil && *p.APIGroup != "" || p.Kind != "ConfigMap":
		return object.Key{}, fmt.Sprintf("parameters name a %s; want kind ConfigMap without apiGroup", p.Kind)
	case p.Namespace == nil || *p.Namespace == "":
		return object.Key{}, fmt.Sprintf("parameters name ConfigMap %q without a namespace; want scope Namespace and namespace", p.Name)
	}
	return object.Key{Namespace: *p.Namespace, Name: p.Name}, ""
}

func (c *classes) parametersProblem(class *networkingv1.IngressClass, message, effect string) {
	c.diagnostics = append(c.diagnostics, route.Diagnostic{
		Severity: route.Warning, Reason: policy.ClassParameters, Origin: policy.Origin{Object: classRef(class.Name), Field: "spec.parameters"},
		Message: message, Effect: effect,
	})
}

func (c *classes) findDefault() {
	var marked []*networkingv1.IngressClass
	ours := false
	for _, class := range c.known {
		if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			marked = append(marked, class)
			ours = ours || c.isOurs(class)
		}
	}
	if len(marked) == 0 {
		return
	}
	slices.SortFunc(marked, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	c.byDefault = marked[0].Name
	if !ours {
		return
	}
	for _, class := range marked[1:] {
		c.diagnostics = append(c.diagnostics, route.Diagnostic{
			Severity: route.Warning, Reason: policy.ClassAmbiguous,
			Origin:  policy.Origin{Object: classRef(class.Name), Field: fmt.Sprintf("metadata.annotations[%q]", networkingv1.AnnotationIsDefaultIngressClass)},
			Message: fmt.Sprintf("IngressClass %s is marked as the default too, and is newer or first by name", c.byDefault),
			Effect:  fmt.Sprintf("Ingresses that name no class belong to %s, as the API server decides it", c.byDefault),
		})
	}
}

func (c *classes) report(problems []policy.Problem) {
	for _, p := range problems {
		c.diagnostics = append(c.diagnostics, fromProblem(p))
	}
}

// Claims returns what reports whether an Ingress is ours by these IngressClasses, for who reads what only our Ingresses name.
func Claims(o Options) func(*networkingv1.Ingress, map[string]*networkingv1.IngressClass) bool {
	return func(ing *networkingv1.Ingress, known map[string]*networkingv1.IngressClass) bool {
		c := &classes{options: &o, known: known, ours: map[string]*policy.Set{}}
		for name, class := range known {
			if c.isOurs(class) {
				c.ours[name] = nil
			}
		}
		c.findDefault()
		return c.verdict(ing).claimed
	}
}

// verdict decides whether an Ingress is ours.
func (c *classes) verdict(ing *networkingv1.Ingress) verdict {
	if name := ing.Spec.IngressClassName; name != nil && *name != "" {
		return c.named(*name)
	}
	if name := ing.Annotations[legacyClass]; name != "" {
		return c.legacy(name)
	}
	return c.unnamed()
}

func (c *classes) named(name string) verdict {
	if base, ok := c.ours[name]; ok {
		return verdict{claimed: true, class: name, base: base}
	}
	class, exists := c.known[name]
	switch {
	case exists:
		return verdict{class: name, why: fmt.Sprintf("IngressClass %s belongs to controller %q; this one is %q", name, class.Spec.Controller, c.options.ControllerClass)}
	case c.options.ClassByName && name == c.options.IngressClass:
		return verdict{claimed: true, class: name, base: c.global}
	case c.unread != "":
		return verdict{class: name, meant: name == c.options.IngressClass, why: fmt.Sprintf("IngressClass %s %s", name, c.unread)}
	case name == c.options.IngressClass:
		return verdict{class: name, meant: true, why: fmt.Sprintf("IngressClass %s does not exist; create it with spec.controller %q, or start Usher with --ingress-class-by-name",
			name, c.options.ControllerClass)}
	}
	return verdict{class: name, why: fmt.Sprintf("IngressClass %s does not exist", name)}
}

func (c *classes) legacy(name string) verdict {
	if name != c.options.IngressClass {
		return verdict{class: name, why: fmt.Sprintf("the annotation %s says %q; this controller answers to %q", legacyClass, name, c.options.IngressClass)}
	}
	if base, ok := c.ours[name]; ok {
		return verdict{claimed: true, class: name, base: base}
	}
	return verdict{claimed: true, class: name, base: c.global}
}

func (c *classes) unnamed() verdict {
	if base, ok := c.ours[c.byDefault]; ok {
		return verdict{claimed: true, class: c.byDefault, base: base}
	}
	switch {
	case c.byDefault != "":
		return verdict{why: fmt.Sprintf("it names no class, and the default IngressClass %s belongs to controller %q", c.byDefault, c.known[c.byDefault].Spec.Controller)}
	case c.options.WithoutClass:
		return verdict{claimed: true, base: c.global}
	}
	return verdict{why: "it names no class, and no IngressClass is marked as the default"}
}

func classRef(name string) policy.Ref {
	return policy.Ref{Kind: string(object.IngressClass), Name: name}
}

func configMapRef(k object.Key) policy.Ref {
	return policy.Ref{Kind: string(object.ConfigMap), Namespace: k.Namespace, Name: k.Name}
}

package resolve

import (
	"cmp"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// ledger holds every Diagnostic in order. Each part of the Resolver replaces its own; settle does so for all of them in one pass,
// so that one changed Ingress among thousands costs a copy and not a sort.
type ledger struct {
	sorted      []route.Diagnostic // shared with the last Table; never written
	gone, found []route.Diagnostic
}

// replace takes out what a part said before and puts in what it says now.
func (l *ledger) replace(before, now []route.Diagnostic) {
	if slices.Equal(before, now) {
		return
	}
	l.gone, l.found = append(l.gone, before...), append(l.found, now...)
}

// settle returns all Diagnostics, by object, field and the rest.
func (l *ledger) settle() []route.Diagnostic {
	slices.SortFunc(l.gone, compareDiagnostics)
	slices.SortFunc(l.found, compareDiagnostics)
	gone, found := without(l.gone, l.found), without(l.found, l.gone)
	l.gone, l.found = nil, nil
	if len(gone) == 0 && len(found) == 0 {
		return l.sorted
	}
	l.sorted = merged(without(l.sorted, gone), found)
	return l.sorted
}

// without is the multiset difference a - b of two sorted lists, copied in runs.
func without(a, b []route.Diagnostic) []route.Diagnostic {
	if len(b) == 0 {
		return a
	}
	out := make([]route.Diagnostic, 0, len(a))
	for _, d := range b {
		i, found := slices.BinarySearchFunc(a, d, compareDiagnostics)
		out = append(out, a[:i]...)
		a = a[i:]
		if found {
			a = a[1:]
		}
	}
	return append(out, a...)
}

// merged is the union of two sorted lists.
func merged(a, b []route.Diagnostic) []route.Diagnostic {
	if len(b) == 0 {
		return a
	}
	out := make([]route.Diagnostic, 0, len(a)+len(b))
	for _, d := range b {
		i, _ := slices.BinarySearchFunc(a, d, compareDiagnostics)
		out = append(append(out, a[:i]...), d)
		a = a[i:]
	}
	return append(out, a...)
}

func compareDiagnostics(a, b route.Diagnostic) int {
	x, y := a.Origin.Object, b.Origin.Object
	return cmp.Or(
		cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Kind, y.Kind),
		compareFields(a.Origin.Field, b.Origin.Field), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Message, b.Message), cmp.Compare(a.Effect, b.Effect),
	)
}

// compareFields orders fields as they stand in the object: "paths[2]" before "paths[10]".
func compareFields(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if inIndex(a, i) {
		if m, n := digits(a[i:]), digits(b[i:]); m != n {
			return cmp.Compare(m, n)
		}
	}
	return cmp.Compare(a[i:], b[i:])
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// inIndex reports whether position i of a field stands inside an index: "[1|2]".
func inIndex(s string, i int) bool {
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	return i > 0 && s[i-1] == '['
}

// fromProblem is a Problem of package policy as a Diagnostic.
func fromProblem(p policy.Problem) route.Diagnostic {
	d := route.Diagnostic{Severity: route.Warning, Reason: p.Reason, Origin: p.Origin, Message: p.Message, Effect: p.Effect}
	switch {
	case p.Error:
		d.Severity = route.Error
	case p.Reason == policy.IneffectiveAnnotation:
		d.Severity = route.Info
	}
	return d
}

package resolve

import (
	"fmt"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Paths that ingress-nginx reads as regular expressions, by use-regex or rewrite-target, which this release does not honour. Taken as
// text they would match nothing, and their requests would go to a wider path: past the access rules of their Ingress, if it has any.
// So the part before the first operator is closed:
//
//	/admin(/|$)(.*)     /admin
//	/api/v[0-9]+/.*     /api/v
//	/(.*)               /

// closeRegex makes of a path that is a regular expression one that answers 503, and reports it. Plain text stays as it is.
func (in *ingress) closeRegex(h *hostRules, p *path) {
	written := p.path
	literal, regex := literalPrefix(written)
	if !regex {
		return
	}
	normal, err := route.Normalize(literal)
	if err != nil {
		normal = "/"
	}
	p.path, p.kind, p.broken, p.yields = normal, route.Prefix, policy.UnsupportedAnnotation, true
	in.report(route.Diagnostic{
		Severity: route.Error, Reason: policy.UnsupportedAnnotation, Origin: in.at(p.field),
		Message: fmt.Sprintf("path %q is a regular expression by use-regex or rewrite-target, which this release does not support", written),
		Effect: fmt.Sprintf("%s and what is below it answer 503 rather than falling through to a wider path, unless a plain path stands there",
			sampleURL(h.name, normal)),
	})
}

// literalPrefix is what a path begins with before the first operator of a regular expression, and whether there is one. A dot counts
// only where it is repeated, since names of files have dots.
func literalPrefix(path string) (literal string, regex bool) {
	for i := range len(path) {
		switch c := path[i]; {
		case strings.IndexByte("?*{", c) >= 0: // what it repeats may be absent
			return strings.TrimSuffix(path[:max(i-1, 1)], "."), true
		case strings.IndexByte(`\+()[]}|^$`, c) >= 0:
			return path[:max(i, 1)], true
		}
	}
	return path, false
}

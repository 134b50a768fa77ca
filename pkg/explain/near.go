package explain

import (
	"fmt"
	"sort"
	"strings"

	"github.com/usher-ingress/usher/pkg/route"
)

// Near misses: what somebody who got a 404 probably meant.

// most is how many near misses are worth reading.
const most = 5

// nearPaths lists the host's paths, those that share most with the request first, each with why it does not match.
func (x *run) nearPaths(h *route.Host) {
	routes := append([]*route.Route(nil), h.Paths.All()...)
	sort.SliceStable(routes, func(i, j int) bool {
		return shared(routes[i].Path, x.Ask.Path) > shared(routes[j].Path, x.Ask.Path)
	})
	for _, r := range routes[:min(most, len(routes))] {
		x.out.Near = append(x.out.Near, candidate(r, whyNot(r, x.Ask.Path)))
	}
}

func whyNot(r *route.Route, path string) string {
	bare := strings.TrimSuffix(r.Path, "/")
	switch {
	case strings.EqualFold(r.Path, path):
		return "differs in case, and paths are case-sensitive"
	case r.Type == route.Exact && bare == strings.TrimSuffix(path, "/"):
		return "Exact: a trailing slash makes another path"
	case r.Type == route.Exact && strings.HasPrefix(path, bare+"/"):
		return "Exact: paths below it are not included; Prefix would include them"
	case r.Type == route.Exact:
		return "Exact: another path"
	case strings.HasPrefix(path, bare):
		return "Prefix matches whole elements between slashes, not parts of one"
	}
	return "another path"
}

// shared is how long a and b are the same, whatever the case of their letters.
func shared(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// nearHosts lists hosts that differ little from the one asked for.
func (x *run) nearHosts() {
	type near struct {
		Candidate
		far int
	}
	var found []near
	for _, h := range sortedHosts(x.table.Hosts) {
		if why, far := whyNotHost(h.Name, x.Ask.Named); why != "" {
			found = append(found, near{Candidate{Host: h.Name, Origin: h.Origin.String(), Why: why}, far})
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].far < found[j].far })
	for _, n := range found[:min(most, len(found))] {
		x.out.Near = append(x.out.Near, n.Candidate)
	}
}

// whyNotHost says why declared, though close, is not asked, and how far away it is; "" when it is not close at all.
func whyNotHost(declared, asked string) (string, int) {
	if parent, ok := strings.CutPrefix(declared, "*"); ok {
		switch {
		case asked == strings.TrimPrefix(parent, "."):
			return "a wildcard covers one label more, not the parent itself", 0
		case strings.HasSuffix(asked, parent):
			return fmt.Sprintf("a wildcard covers exactly one label, and %q has more", strings.TrimSuffix(asked, parent)), 0
		}
		return "", 0
	}
	if far := distance(declared, asked); far <= 3 && far < len(declared)/2 {
		return fmt.Sprintf("differs by %s", count(far, "character")), far
	}
	if strings.HasSuffix(declared, "."+asked) || strings.HasSuffix(asked, "."+declared) {
		return "another name below the same domain", 4
	}
	first, _, _ := strings.Cut(asked, ".")
	if label, _, _ := strings.Cut(declared, "."); label == first {
		return "the same first label below another domain", 5
	}
	return "", 0
}

// distance is the number of insertions, deletions and replacements between a and b (Levenshtein), row by row.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page and its style
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/route"
)

//go:embed dashboard.html
var dashboardHTML string

//go:embed dashboard.css
var dashboardCSS string

// The page shows at most so many rows of a kind, so that it opens at once with ten thousand Ingresses too; the filter finds the rest.
const (
	mostDiagnostics  = 200
	mostCertificates = 50
	mostRoutes       = 500
)

// view is what the page shows.
type view struct {
	Style    template.CSS
	Version  string
	NotReady string
	Filter   string

	Generation uint64
	Changed    string
	Counts     []count

	Diagnostics      []route.Diagnostic
	MoreDiagnostics  int
	Certificates     []jsonCertificate
	MoreCertificates int
	Routes           []row
	MoreRoutes       int
}

// count is one number at the top; Bad ones stand out.
type count struct {
	Name  string
	Value int
	Bad   bool
}

// row is one path.
type row struct {
	Host, Path, Type, Goal, Origin string
	TLS, Bad                       bool
}

var page = sync.OnceValues(func() (*template.Template, error) {
	return template.New("dashboard").Funcs(template.FuncMap{
		"remaining": jsonCertificate.remaining,
		"soon":      jsonCertificate.soon,
		"join":      func(list []string) string { return strings.Join(list, " ") },
	}).Parse(dashboardHTML)
})

// security is the page's policy: its own style, its own form, nothing else, from nowhere. What Ingresses say is only ever text.
var security = sync.OnceValue(func() string {
	hash := sha256.Sum256([]byte(dashboardCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
})

func (a *Admin) dashboard(w http.ResponseWriter, r *http.Request) {
	t, err := page()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var body bytes.Buffer
	if err := t.Execute(&body, a.view(strings.ToLower(strings.TrimSpace(r.FormValue("host"))))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", security())
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = body.WriteTo(w)
}

func (a *Admin) view(filter string) *view {
	v := &view{Style: template.CSS(dashboardCSS), Version: a.options.Version, Filter: filter}
	if err := a.ready(); err != nil {
		v.NotReady = err.Error()
	}
	t := a.options.Tables.Load()
	if t == nil {
		return v
	}
	now := a.now()
	v.Generation, v.Changed = t.Generation, ago(now, t.Changed)
	certificates := certificatesJSON(t.Certificates, now)
	rows, broken := rows(t, filter)
	v.Counts = counts(t, certificates, broken)
	v.Diagnostics, v.MoreDiagnostics = first(worstFirst(t.Diagnostics), mostDiagnostics)
	v.Certificates, v.MoreCertificates = first(certificates, mostCertificates)
	v.Routes, v.MoreRoutes = first(rows, mostRoutes)
	return v
}

// first cuts a list to n and tells how many were cut.
func first[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

func ago(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return now.Sub(then).Round(time.Second).String() + " ago"
}

// rows are the paths of the hosts whose name contains filter, and how many of all paths are broken.
func rows(t *route.Table, filter string) (list []row, broken int) {
	for _, h := range hosts(t) {
		shown := strings.Contains(h.Name, filter)
		add := func(r *route.Route) {
			next := newRow(t, h, r)
			if next.Bad {
				broken++
			}
			if shown {
				list = append(list, next)
			}
		}
		for _, r := range h.Paths.All() {
			add(r)
		}
		if h.Default != nil {
			add(h.Default)
		}
	}
	return list, broken
}

func newRow(t *route.Table, h *route.Host, r *route.Route) row {
	next := row{Host: h.Name, Path: r.Path, Type: string(r.Type), Origin: r.Origin.String(), TLS: h.TLS}
	if next.Host == "" {
		next.Host = "any other host"
	}
	if r == h.Default {
		next.Path, next.Type = "anything else", "default"
	}
	b := t.Backend(r)
	switch {
	case r.Broken != "":
		next.Goal, next.Bad = "503 "+string(r.Broken), true
	case b == nil:
		next.Goal, next.Bad = "nowhere", true
	case b.Reason != "":
		next.Goal, next.Bad = b.Name+" 503 "+string(b.Reason), true
	default:
		next.Goal = b.Name
	}
	return next
}

func counts(t *route.Table, certificates []jsonCertificate, broken int) []count {
	var routes, endpoints, errors, warnings, expiring int
	all := t.Hosts.All()
	for _, h := range all {
		routes += len(h.Paths.All())
	}
	for _, b := range t.Backends {
		endpoints += len(b.Endpoints)
	}
	for _, d := range t.Diagnostics {
		switch d.Severity {
		case route.Error:
			errors++
		case route.Warning:
			warnings++
		}
	}
	for _, c := range certificates {
		if c.soon() {
			expiring++
		}
	}
	return []count{
		{"hosts", len(all), false}, {"paths", routes, false}, {"broken paths", broken, broken > 0},
		{"backends", len(t.Backends), false}, {"endpoints", endpoints, false}, {"errors", errors, errors > 0},
		{"warnings", warnings, warnings > 0}, {"certificates expiring", expiring, expiring > 0},
	}
}

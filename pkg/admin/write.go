package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/usher-ingress/usher/pkg/route"
)

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(value)
}

// columns writes lines whose fields are separated by tabs, aligned.
func columns(w http.ResponseWriter, lines func(io.Writer)) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines(t)
	_ = t.Flush()
}

// wantsJSON reports whether a program asks. A browser and curl do not name JSON.
func wantsJSON(r *http.Request) bool {
	return r.FormValue("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// table returns the table in use, or answers that there is none yet.
func (a *Admin) table(w http.ResponseWriter) *route.Table {
	t := a.options.Tables.Load()
	if t == nil {
		text(w, http.StatusServiceUnavailable, errNoTable.Error()+"\n")
	}
	return t
}

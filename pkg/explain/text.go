package explain

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
)

// Text renders e for a person: the answer first, then how it came about. verbose adds the phases and the settings nobody wrote.
func (e *Explanation) Text(verbose bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s://%s%s\n%s\n", e.Request.Method, e.Request.Scheme, e.Request.Host, e.Request.Path, e.headline())
	w := &page{tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)}
	w.answer(e)
	w.claim(e)
	w.settings(e, verbose)
	w.backend(e)
	w.certificate(e.Certificate)
	w.clientCert(e.ClientCert)
	if verbose {
		w.phases(e.Phases)
		w.sent(e.Sent)
	}
	w.Flush()
	if len(e.Diagnostics) > 0 {
		b.WriteString("\nwhat is wrong here:\n")
	}
	for _, d := range e.Diagnostics {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	return trimLines(b.String())
}

// headline is the answer in one line.
func (e *Explanation) headline() string {
	a := e.Answer
	switch {
	case a.By == ByEndpoint:
		return "=> forwarded to " + e.Backend.Name
	case a.Location != "":
		return fmt.Sprintf("=> %d %s to %s", a.Status, http.StatusText(a.Status), a.Location)
	case a.Reason != "":
		return fmt.Sprintf("=> %d %s, reason %s", a.Status, http.StatusText(a.Status), a.Reason)
	}
	return fmt.Sprintf("=> %d %s", a.Status, http.StatusText(a.Status))
}

// page writes lines of a name and its facts, in columns.
type page struct{ *tabwriter.Writer }

func (w *page) line(name string, facts ...string) {
	fmt.Fprintf(w, "%s\t%s\n", name, strings.Join(facts, "\t"))
}

func (w *page) answer(e *Explanation) {
	w.line("")
	for _, row := range [][2]string{{"cause", e.Answer.Cause}, {"meaning", e.Answer.Meaning}, {"cure", e.Answer.Cure}} {
		if row[1] != "" {
			w.line(row[0], row[1])
		}
	}
}

func (w *page) claim(e *Explanation) {
	if h := e.Host; h != nil {
		w.line("host", fmt.Sprintf("%s (%s), %s", hostName(h.Name), h.Match, h.Origin))
	}
	if p := e.Path; p != nil {
		w.line("path", strings.TrimSpace(fmt.Sprintf("%s %s, %s", p.Path, p.Type, p.Origin)))
	}
	for _, c := range e.Lost {
		w.line("  lost", c.String())
	}
	for _, c := range e.Near {
		w.line("  near", c.String())
	}
	if e.Request.Normalised != "" && e.Request.Normalised != e.Request.Path {
		w.line("matched on", e.Request.Normalised)
	}
}

// String is the candidate in one line: what it is, where it stands, why it lost.
func (c Candidate) String() string {
	return fmt.Sprintf("%s: %s", strings.Join(nonEmpty(hostName(c.Host)+c.Path, c.Type, "("+c.Origin+")"), " "), c.Why)
}

func (w *page) settings(e *Explanation, verbose bool) {
	for _, s := range e.Settings {
		switch {
		case s.Written:
			w.line("setting", fmt.Sprintf("%s %q (default %q), %s", s.Key, s.Value, s.Default, s.Origin))
		case verbose:
			w.line("setting", fmt.Sprintf("%s %q, default", s.Key, s.Value))
		}
	}
}

func (w *page) backend(e *Explanation) {
	b := e.Backend
	if b == nil {
		return
	}
	if b.Origin == "" {
		w.line("backend", b.Name)
		return
	}
	w.line("backend", fmt.Sprintf("%s over %s, %s", b.Name, b.Protocol, b.Origin))
	if b.TLS != "" {
		w.line("  tls", b.TLS)
	}
	for _, ep := range b.Endpoints {
		w.line("  "+ep.State, strings.Join(nonEmpty(ep.Address, prefixed("pod ", ep.Pod), prefixed("node ", ep.Node), prefixed("zone ", ep.Zone), ep.Seen), ", "))
	}
}

func (w *page) certificate(c *Certificate) {
	if c == nil {
		return
	}
	what := "self-signed, made by Usher"
	if c.Match != "self-signed" {
		what = fmt.Sprintf("%s, until %s, %s", strings.Join(c.Names, " "), c.Until.UTC().Format("2006-01-02"), c.Secret)
	}
	if c.Match == "default" {
		what = "the default: " + what
	}
	w.line("certificate", what)
	if c.Why != "" {
		w.line("  why", c.Why)
	}
	if c.Note != "" {
		w.line("  note", c.Note)
	}
}

func (w *page) phases(steps []Step) {
	for _, s := range steps {
		w.line("phase "+string(s.Phase), s.Outcome)
	}
}

func (w *page) sent(s *Sent) {
	if s == nil {
		return
	}
	w.line("sent", s.Target)
	for _, name := range slices.Sorted(maps.Keys(s.Header)) {
		for _, value := range s.Header[name] {
			w.line("  field", name+": "+value)
		}
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func nonEmpty(parts ...string) []string {
	var out []string
	for _, p := range parts {
		if p != "" && p != "()" {
			out = append(out, p)
		}
	}
	return out
}

// trimLines cuts the spaces that columns leave at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Join(lines, "\n")
}

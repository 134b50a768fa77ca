//go:build linux

package conformance

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	Controller string // name and version
	Setting    string // what it ran in, and how to run it again
	Date       time.Time
	Results    []Result
}

// Failed is how many features did not pass.
func (r *Report) Failed() (n int) {
	for _, result := range r.Results {
		if result.Err != nil {
			n++
		}
	}
	return n
}

// WriteTo writes the report as Markdown.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Ingress v1 conformance\n\n%s: %d of %d features. %s, %s.\n\n", r.Controller, len(r.Results)-r.Failed(), len(r.Results), r.Setting, r.Date.UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("| feature | by | checks | result |\n|---|---|---|---|\n")
	for _, result := range r.Results {
		fmt.Fprintf(&b, "| [%s](features/%s.yaml) | %s | %d | %s |\n", result.Feature.Text, result.Feature.Name, result.Feature.Source, result.Checks, result.verdict())
	}
	for _, result := range r.Results {
		if result.Err != nil {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", result.Feature.Text, indented(result.Err.Error()))
		}
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (r *Result) verdict() string {
	switch {
	case r.Err != nil:
		return "**failed**"
	case r.Skipped > 0:
		return fmt.Sprintf("passed, less %d of a status, which this setting has not", r.Skipped)
	}
	return "passed"
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// goal is what Usher is to reach in a scenario.
type goal struct {
	scenario string
	than     string  // its figure is compared with this contender's; empty: it is compared with most itself
	most     float64 // a ratio, or where than is empty KiB for each connection
}

// goals are the targets that the data plane was designed for.
func goals() []goal {
	return []goal{
		{"plain", "nginx", 0.95}, {"plain", "reverseproxy", 0.45}, {"plain", "caddy", 0.30}, {"plain", "traefik", 0.38},
		{"log", "nginx", 1.00},
		{"tls", "nginx", 0.95},
		{"h2", "nginx", 1.30},
		{"handshake", "nginx", 1.05},
		{"download", "nginx", 1.10},
		{"latency", "nginx", 1.00},
		{"idle", "", 6}, {"idle-tls", "", 24},
	}
}

// notes are written by hand: where the time goes, and what was tried. A run copies them into its report.
//
//go:embed NOTES.md
var notes string

// writeGoals compares what was measured with the goals. What was not measured is left out.
func (r report) writeGoals(b *strings.Builder) {
	var rows strings.Builder
	for _, g := range goals() {
		for _, result := range r.Results {
			if found := result.reached(g); result.name == g.scenario && len(found) > 0 {
				fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", result.title, g, show(spreadOf(found), 2), g.verdict(found))
			}
		}
	}
	if rows.Len() > 0 {
		b.WriteString("\n## Against the targets\n\n| scenario | Usher is to need | here | |\n|---|---|---|---|\n" + rows.String())
	}
}

// String is the goal in words.
func (g goal) String() string {
	if g.than == "" {
		return fmt.Sprintf("at most %g KiB", g.most)
	}
	return fmt.Sprintf("at most %.2f of %s", g.most, g.than)
}

// verdict is by the median, as it is shown.
func (g goal) verdict(found []float64) string {
	if spreadOf(found).Median < g.most+0.005 {
		return "met"
	}
	return "missed"
}

// reached are the figures that the goal is about, one for each round.
func (r result) reached(g goal) []float64 {
	number := func(s sample) float64 { return s.cost(r.figure) }
	usher := each(r.samples["usher"], number)
	switch {
	case r.errs["usher"] != nil:
		return nil
	case g.than == "":
		return usher
	case r.errs[g.than] != nil:
		return nil
	}
	return ratios(usher, each(r.samples[g.than], number))
}

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/usher-ingress/usher/pkg/route"
)

// lintFlags are those of `usher lint`.
type lintFlags struct {
	objects objectFlags
	output  choice
	failOn  choice
	values  string
}

func newLint() *cobra.Command {
	f := &lintFlags{
		output: choice{"text", []string{"text", "json", "github"}},
		failOn: choice{"error", []string{"error", "warning", "never"}},
	}
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Print everything that is ignored, overridden, refused or broken in a folder or cluster",
		Long: `Lint resolves the objects of a folder or a cluster as 'usher serve' does, and prints every Diagnostic:
what is ignored, overridden, refused or broken, in which field of which object, and what that does to
traffic. An error affects traffic, a warning may surprise, an info is good to know.

With --values it reads a values file of the Helm chart, or of ingress-nginx's, instead, and prints which
values the chart ignores, which is a warning, or refuses, which is an error.

Exit codes: 0 nothing at or above --fail-on, 1 something, 2 usage.`,
		Example: `  usher lint --manifests examples/quickstart
  usher lint --kubeconfig ~/.kube/config --fail-on warning
  usher lint --manifests deploy -o github
  usher lint --values values.yaml`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.objects.register(cmd.Flags())
	cmd.Flags().VarP(&f.output, "output", "o", "how to print; github makes annotations of a workflow run")
	cmd.Flags().StringVar(&f.values, "values", "", "`file` with values of the Helm chart, read instead of objects")
	cmd.Flags().Var(&f.failOn, "fail-on", "least severity that makes the exit code 1")
	return cmd
}

func (f *lintFlags) run(cmd *cobra.Command) error {
	if f.values != "" {
		return f.runValues(cmd.OutOrStdout())
	}
	table, err := f.objects.table(cmd.Context())
	if err != nil {
		return err
	}
	if err := f.print(cmd.OutOrStdout(), table.Diagnostics); err != nil {
		return err
	}
	if f.fails(table.Diagnostics) {
		return errFindings
	}
	return nil
}

func (f *lintFlags) runValues(w io.Writer) error {
	found, err := lintValues(f.values)
	if err != nil {
		return err
	}
	if err := f.printValues(w, found); err != nil {
		return err
	}
	least := map[string]int{"error": 2, "warning": 1, "never": 3}[f.failOn.value]
	for _, finding := range found {
		if map[string]int{"ignored": 1, "refused": 2}[finding.Outcome] >= least {
			return errFindings
		}
	}
	return nil
}

func (f *lintFlags) printValues(w io.Writer, found []valueFinding) error {
	if f.output.value == "json" {
		return writeJSON(w, found)
	}
	level := map[string]string{"refused": "error", "ignored": "warning", "info": "notice"}
	for _, v := range found {
		line := fmt.Sprintf("%-7s %s: %s", v.Outcome, v.Key, v.Message)
		if f.output.value == "github" {
			line = fmt.Sprintf("::%s title=%s::%s", level[v.Outcome], escapeGitHub(v.Key), escapeGitHub(v.Message))
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func (f *lintFlags) fails(found []route.Diagnostic) bool {
	for _, d := range found {
		if d.Severity == route.Error && f.failOn.value != "never" || d.Severity == route.Warning && f.failOn.value == "warning" {
			return true
		}
	}
	return false
}

func (f *lintFlags) print(w io.Writer, found []route.Diagnostic) error {
	switch f.output.value {
	case "json":
		if found == nil {
			found = []route.Diagnostic{}
		}
		return writeJSON(w, found)
	case "github":
		return printGitHub(w, found)
	}
	return printText(w, found)
}

func printText(w io.Writer, found []route.Diagnostic) error {
	counts := map[route.Severity]int{}
	for _, d := range found {
		counts[d.Severity]++
		if _, err := fmt.Fprintf(w, "%-7s %s\n        %s: %s\n        effect: %s\n", d.Severity, d.Origin, d.Reason, d.Message, d.Effect); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "errors: %d, warnings: %d, infos: %d\n", counts[route.Error], counts[route.Warning], counts[route.Info])
	return err
}

// printGitHub writes workflow commands, which become annotations of the run.
func printGitHub(w io.Writer, found []route.Diagnostic) error {
	level := map[route.Severity]string{route.Error: "error", route.Warning: "warning", route.Info: "notice"}
	for _, d := range found {
		title := escapeGitHub(string(d.Reason) + " " + d.Origin.Object.String())
		title = strings.NewReplacer(":", "%3A", ",", "%2C").Replace(title)
		text := escapeGitHub(d.Origin.Field + ": " + d.Message + "; " + d.Effect)
		if _, err := fmt.Fprintf(w, "::%s title=%s::%s\n", level[d.Severity], title, text); err != nil {
			return err
		}
	}
	return nil
}

func escapeGitHub(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

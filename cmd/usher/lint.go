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

Exit codes: 0 nothing at or above --fail-on, 1 something, 2 usage.`,
		Example: `  usher lint --manifests examples/quickstart
  usher lint --kubeconfig ~/.kube/config --fail-on warning
  usher lint --manifests deploy -o github`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.objects.register(cmd.Flags())
	cmd.Flags().VarP(&f.output, "output", "o", "how to print; github makes annotations of a workflow run")
	cmd.Flags().Var(&f.failOn, "fail-on", "least severity that makes the exit code 1")
	return cmd
}

func (f *lintFlags) run(cmd *cobra.Command) error {
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

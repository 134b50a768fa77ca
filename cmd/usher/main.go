// Command usher is an HTTP ingress controller for Kubernetes: one process that reads Ingress objects, serves their hosts and paths,
// and explains every answer it gives. `usher demo` shows it on one machine, `usher serve` is the controller.
//
// This package only wires: flags become options, options become parts, and the parts run side by side until the first one stops.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
}

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it failed, or found what it was asked to look for
	exitUsage   = 2 // it was not understood
)

// errFindings ends a command with exitFailure without a message: what it found was printed.
var errFindings = errors.New("findings")

// usageError is a command line that was not understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, c console) int {
	root := newRoot(c)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "usher: %v\nTry '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(c.err, "usher: %v\n", err)
	return exitFailure
}

func newRoot(c console) *cobra.Command {
	root := &cobra.Command{
		Use:   "usher",
		Short: "HTTP ingress controller for Kubernetes that explains every answer it gives",
		Long: `Usher serves the hosts and paths that Ingress objects declare, and explains every answer it gives.

It reads the objects from a cluster, or from a folder of YAML files on any machine. It honours the
annotations and ConfigMap keys of ingress-nginx under their own names.

Start with 'usher demo': it needs nothing but this binary.

Exit codes: 0 success, 1 failure or findings, 2 the command line was not understood.`,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServe(), newDemo(), newExplain(), newLint(), newECH(), newVersion(), newDocs())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("unknown command %q; did you mean %q?", args[0], near[0])
	}
	return usagef("unknown command %q", args[0])
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

//go:build e2e

package chart

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	if err := Build(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func render(t *testing.T, arguments ...string) *Release {
	t.Helper()
	release, err := Render("usher", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

package resolve_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/resolve"
	"github.com/usher-ingress/usher/pkg/route"
)

// TestRollouts walks through the objects that progressive delivery tools write, step by step and back, through one Resolver. The
// steps are fixtures (testdata/canary/argo-*, flagger-*), which say what requests get; here each step must get the same after any
// other, and at no step may a request of the host go without an endpoint.
func TestRollouts(t *testing.T) {
	for _, tool := range []string{"argo", "flagger"} {
		t.Run(tool, func(t *testing.T) {
			files, err := filepath.Glob("testdata/canary/" + tool + "-*.yaml")
			if err != nil || len(files) < 7 {
				t.Fatalf("%d steps, want at least 7: %v", len(files), err)
			}
			back := slices.Clone(files)
			slices.Reverse(back)
			walk := append(append([]string{}, files...), back...)
			walk = append(walk, files[len(files)-1], files[0], files[len(files)/2], files[0]) // aborted, and once more from the start
			resolver := resolve.New(readFixture(t, files[0]).options)
			for _, file := range walk {
				f := readFixture(t, file)
				table := resolver.Resolve(f.snapshot, now)
				if difference := compareTables(table, resolve.New(f.options).Resolve(f.snapshot, now)); difference != "" {
					t.Fatalf("%s: %s", file, difference)
				}
				if got := f.result(table); got != f.sections {
					t.Errorf("%s, within the walk: got\n%s\nwant\n%s", file, got, f.sections)
				}
				checkRollout(t, table, f.requests)
			}
		})
	}
}

// checkRollout holds that every request has somewhere to go, and that the tool's own objects are no errors, so that lint passes.
func checkRollout(t *testing.T, table *route.Table, requests []string) {
	t.Helper()
	for _, request := range requests {
		if a := answer(table, request); !strings.HasPrefix(a, "demo/") {
			t.Errorf("%s is answered %s", request, a)
		}
	}
	for _, d := range table.Diagnostics {
		if d.Severity == route.Error {
			t.Errorf("a tool's own objects are reported: %s", d)
		}
	}
}

//go:build e2e

package e2e

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/e2e/conformance"
)

var conformanceReport = flag.String("conformance-report", "", "`file` to write TestConformance's report to")

// TestConformance: Usher does what networking.k8s.io/v1 says, see package
// conformance.
func TestConformance(t *testing.T) {
	s := newScene(t)
	u := s.usher("--publish-status-address", "198.51.100.7")
	world, err := conformance.NewCluster(theCluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	target := conformance.Target{World: world, Class: s.class, HTTP: u.address + ":80", HTTPS: u.address + ":443", Pods: address(), Patience: patience}
	features, err := conformance.Features()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := s.run("version")
	version, _, _ = strings.Cut(strings.TrimSpace(version), ",")
	if commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		version += ", commit " + strings.TrimSpace(string(commit))
	}
	r := conformance.Report{Controller: version, Setting: "Behind a real API server, by `make conformance`", Date: time.Now()}
	for _, f := range features {
		t.Run(f.Name, func(t *testing.T) {
			result := target.Run(t.Context(), f)
			if result.Err != nil {
				t.Error(result.Err)
			}
			r.Results = append(r.Results, result)
		})
	}
	if *conformanceReport == "" {
		return
	}
	file, err := os.Create(*conformanceReport)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := r.WriteTo(file); err != nil {
		t.Fatal(err)
	}
}

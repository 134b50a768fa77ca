//go:build linux

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// programsVariable names the directory that holds etcd and the Kubernetes
// programs. Set it to test against others than those of e2e/tools.
const programsVariable = "USHER_E2E_PROGRAMS"

// Program returns the path of etcd, kubectl or another Kubernetes program.
func Program(name string) string {
	return filepath.Join(os.Getenv(programsVariable), name)
}

// findPrograms builds the programs unless an earlier run did or the caller has
// named his own, and leaves their directory in the environment.
func findPrograms() error {
	if os.Getenv(programsVariable) != "" {
		return nil
	}
	build := exec.Command(filepath.Join(sourceDir(), "..", "tools", "build.sh"))
	build.Stderr = os.Stderr
	directory, err := build.Output()
	if err != nil {
		return fmt.Errorf("building etcd and Kubernetes with %s: %w", build.Path, err)
	}
	return os.Setenv(programsVariable, strings.TrimSpace(string(directory)))
}

// sourceDir is the directory of this file: tests run from their package's.
func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

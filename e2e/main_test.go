//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/e2e/traffic"
)

// binaryVariable names the usher to test; without it one is built from source.
const binaryVariable = "USHER_E2E_BINARY"

func TestMain(m *testing.M) {
	if traffic.IsPod() {
		os.Exit(traffic.RunPod())
	}
	cluster.Main(tests{m}, func() error {
		return errors.Join(buildUsher(), buildInterop(), buildChart(), buildPebble(), buildH2spec())
	})
}

// buildUsher builds the program with the race detector and leaves its path in
// the environment.
func buildUsher() error {
	if os.Getenv(binaryVariable) != "" {
		return nil
	}
	binary, err := filepath.Abs("../bin/usher-race")
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-race", "-o", binary, "../cmd/usher")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building usher: %w", err)
	}
	return os.Setenv(binaryVariable, binary)
}

// tests stops the cluster when all tests have run.
type tests struct{ *testing.M }

func (t tests) Run() int {
	status := t.M.Run()
	if theCluster != nil {
		theCluster.Stop()
	}
	return status
}

var (
	theCluster *cluster.Cluster // nil until a test needs it
	// startCluster starts the cluster that all tests share.
	startCluster = sync.OnceValue(func() (err error) {
		theCluster, err = cluster.Start(context.Background(), cluster.Options{})
		return err
	})
)

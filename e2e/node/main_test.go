//go:build e2e

package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/usher-ingress/usher/e2e/chart"
	"github.com/usher-ingress/usher/e2e/image"
)

// requiredVariable, set to 1, makes it an error that this machine cannot be a node; .ci/run does so for root, unless it is 0.
const requiredVariable = "USHER_E2E_NODE"

// The images of the tests. Both versions of Usher are of the same source.
const (
	usherImage = "e2e.local/usher"
	appImage   = "e2e.local/app:1"
)

func TestMain(m *testing.M) {
	if err := Missing(); err != nil {
		fmt.Fprintln(os.Stderr, "SKIPPED: Usher on a real node was not tested:", err)
		if os.Getenv(requiredVariable) == "1" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	World().Main(m, func() error { return errors.Join(chart.Build(), buildImages()) })
}

// bin is where images are written.
func bin() string {
	folder, err := filepath.Abs("../../bin/node")
	if err != nil {
		panic(err) // there is a working directory
	}
	return folder
}

// images are the tar files that the node gets.
func images() []string {
	var files []string
	for _, name := range []string{"usher-1", "usher-2", "app", "pause"} {
		files = append(files, filepath.Join(bin(), name+".tar"))
	}
	return files
}

// buildImages builds Usher as a release does, and the application, without cgo: there is nothing else in their images.
func buildImages() error {
	if err := os.MkdirAll(bin(), 0o755); err != nil {
		return err
	}
	for program, source := range map[string]string{"usher": "../../cmd/usher", "app": "./app"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=e2e", "-o", filepath.Join(bin(), program), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", program, err, out)
		}
	}
	return errors.Join(
		writeImage("usher-1", usherImage+":1", "usher", "/usher", "serve"),
		writeImage("usher-2", usherImage+":2", "usher", "/usher", "serve"),
		writeImage("app", appImage, "app", "/app"),
		writeImage("pause", PauseImage, "app", "/app", "pause"))
}

func writeImage(file, name, program string, command ...string) error {
	content, err := os.ReadFile(filepath.Join(bin(), program))
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(bin(), file+".tar"))
	if err != nil {
		return err
	}
	p := image.ThisPlatform()
	p.Files = []image.File{{Path: program, Mode: 0o755, Content: content}}
	p.Entrypoint, p.Command, p.User = command[:1], command[1:], "65532:65532"
	return errors.Join(image.Write(out, image.Image{Name: name, Platforms: []image.Platform{p}}), out.Close())
}

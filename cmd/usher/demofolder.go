package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/usher-ingress/usher/examples/quickstart"
)

// demoFolder is a copy of examples/quickstart that fits the ports its backends have.
type demoFolder struct{ path string }

// authority is the file of the internal CA's certificate, for curl --cacert.
func (d demoFolder) authority() string { return filepath.Join(d.path, "ca.pem") }

// acme is where the internal CA is kept; a name with a dot is not read as manifests.
func (d demoFolder) acme() string { return filepath.Join(d.path, ".acme") }

// cookies is where curl keeps the cookie of the session.
func (d demoFolder) cookies() string { return filepath.Join(d.path, "cookies.txt") }

func (d demoFolder) remove() { _ = os.RemoveAll(d.path) }

// newDemoFolder writes the copy; ports maps those of the manifests to those in use.
func newDemoFolder(ports map[int]int) (demoFolder, error) {
	path, err := os.MkdirTemp("", "usher-demo-")
	if err != nil {
		return demoFolder{}, err
	}
	d := demoFolder{path}
	if err := d.fill(ports); err != nil {
		d.remove()
		return demoFolder{}, fmt.Errorf("demo folder: %w", err)
	}
	return d, nil
}

func (d demoFolder) fill(ports map[int]int) error {
	names, err := fs.Glob(quickstart.Manifests, "*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := quickstart.Manifests.ReadFile(name)
		if err != nil {
			return err
		}
		text = regexp.MustCompile(`port: (\d+)}`).ReplaceAllFunc(text, func(field []byte) []byte {
			from, _ := strconv.Atoi(string(field[len("port: ") : len(field)-1]))
			if to, ok := ports[from]; ok {
				return fmt.Appendf(nil, "port: %d}", to)
			}
			return field
		})
		if err := os.WriteFile(filepath.Join(d.path, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

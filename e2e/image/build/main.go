// Program build writes Usher's image for one platform or several as an OCI image layout in a tar file, as the Dockerfile would make
// it, but without a container engine:
//
//	go run ./e2e/image/build -name usher:v1.2.3 -o usher.tar amd64=dist/usher-amd64 arm64=dist/usher-arm64
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/usher-ingress/usher/e2e/image"
)

func main() {
	name := flag.String("name", "usher:latest", "repository:tag")
	roots := flag.String("roots", "/etc/ssl/certs/ca-certificates.crt", "file with the certificates of public authorities")
	out := flag.String("o", "usher.tar", "file to write")
	flag.Parse()
	if err := run(*name, *roots, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(name, roots, out string, programs []string) error {
	if len(programs) == 0 {
		return errors.New("want ARCHITECTURE=PROGRAM, such as amd64=bin/usher")
	}
	certificates, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	i := image.Image{Name: name}
	for _, pair := range programs {
		architecture, path, _ := strings.Cut(pair, "=")
		program, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%q: want ARCHITECTURE=PROGRAM: %w", pair, err)
		}
		i.Platforms = append(i.Platforms, image.Platform{
			Architecture: architecture,
			Entrypoint:   []string{"/usher"},
			Command:      []string{"serve"},
			User:         "65532:65532", // a number, so that Kubernetes can check runAsNonRoot
			Files: []image.File{
				{Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Content: certificates},
				{Path: "usher", Mode: 0o755, Content: program},
			},
		})
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(image.Write(file, i), file.Close())
}

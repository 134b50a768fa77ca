package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"testing"
)

func example() Image {
	files := []File{{Path: "usher", Mode: 0o755, Content: []byte("program")}, {Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Content: []byte("roots")}}
	amd64 := Platform{Architecture: "amd64", Files: files, Entrypoint: []string{"/usher"}, User: "65532:65532"}
	arm64 := amd64
	arm64.Architecture = "arm64"
	return Image{Name: "example.com/usher:v1.2.3", Platforms: []Platform{amd64, arm64}}
}

// TestWrite follows an image from its index to its files.
func TestWrite(t *testing.T) {
	blobs := unpack(t, write(t, example()))
	type descriptor struct {
		Digest      string
		Size        int
		Annotations map[string]string
		Platform    struct{ Architecture string }
	}
	var index, platforms struct{ Manifests []descriptor }
	parse(t, blobs["index.json"], &index)
	top := index.Manifests[0]
	if len(index.Manifests) != 1 || top.Annotations["io.containerd.image.name"] != "example.com/usher:v1.2.3" || top.Annotations["org.opencontainers.image.ref.name"] != "v1.2.3" {
		t.Errorf("index %s", blobs["index.json"])
	}
	find := func(d descriptor) []byte {
		blob, ok := blobs["blobs/sha256/"+d.Digest[len("sha256:"):]]
		if !ok || len(blob) != d.Size || digest(blob) != d.Digest {
			t.Errorf("blob %s has %d bytes, want %d", d.Digest, len(blob), d.Size)
		}
		return blob
	}
	parse(t, find(top), &platforms)
	for i, architecture := range []string{"amd64", "arm64"} {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		var config struct {
			Architecture string
			Config       struct {
				Entrypoint []string
				User       string
			}
		}
		parse(t, find(platforms.Manifests[i]), &manifest)
		parse(t, find(manifest.Config), &config)
		find(manifest.Layers[0])
		if config.Architecture != architecture || platforms.Manifests[i].Platform.Architecture != architecture || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/usher" {
			t.Errorf("platform %d: %+v", i, config)
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	other := example()
	for _, p := range other.Platforms {
		p.Files[0], p.Files[1] = p.Files[1], p.Files[0]
	}
	if !bytes.Equal(write(t, example()), write(t, other)) {
		t.Error("the order of files makes a difference")
	}
}

func write(t *testing.T, image Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, image); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if files[header.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestToolchain: the Dockerfile and `make release` use one version of Go, so that their programs are the same.
func TestToolchain(t *testing.T) {
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindSubmatch(module)
	used := regexp.MustCompile(`(?m)^ARG GO=(\S+)$`).FindSubmatch(dockerfile)
	if named == nil || used == nil || !bytes.Equal(named[1], used[1]) {
		t.Errorf("go.mod names toolchain %q, the Dockerfile Go %q: want the same version", named, used)
	}
}

// Package image writes container images without a container engine: a static program on nothing, as an OCI image layout in a tar
// file, which containerd, podman, skopeo and crane take.
//
//	err := image.Write(file, image.Image{Name: "usher:v1.2.3", Platforms: []image.Platform{{Architecture: "amd64", Files: ...}}})
//
// The same input gives the same bytes: files have no time and no owner, and are in order.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// Image is what to write. With several platforms a client chooses its own.
type Image struct {
	Name      string // repository:tag
	Platforms []Platform
}

// Platform is the image for one architecture.
type Platform struct {
	Architecture string // GOARCH
	Files        []File
	Entrypoint   []string
	Command      []string
	User         string // "65532:65532"
}

// ThisPlatform is the one that this program runs on, with nothing in it yet.
func ThisPlatform() Platform { return Platform{Architecture: runtime.GOARCH} }

// File is a file of an image; the folders above it follow from its path.
type File struct {
	Path    string // without the leading slash
	Mode    int64
	Content []byte
}

type object = map[string]any

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// layout collects the blobs of an image.
type layout struct{ blobs map[string][]byte }

// Write writes the image to w.
func Write(w io.Writer, image Image) error {
	l := layout{blobs: map[string][]byte{}}
	manifests := make([]object, 0, len(image.Platforms))
	for _, p := range image.Platforms {
		manifest, err := l.platform(p)
		if err != nil {
			return err
		}
		manifests = append(manifests, manifest)
	}
	top := manifests[0]
	if len(manifests) > 1 {
		var err error
		if top, err = l.json(indexType, object{"schemaVersion": 2, "mediaType": indexType, "manifests": manifests}); err != nil {
			return err
		}
	}
	_, tag, _ := strings.Cut(image.Name[strings.LastIndex(image.Name, "/")+1:], ":")
	top["annotations"] = object{"io.containerd.image.name": image.Name, "org.opencontainers.image.ref.name": tag}
	index, err := json.Marshal(object{"schemaVersion": 2, "mediaType": indexType, "manifests": []object{top}})
	if err != nil {
		return err
	}
	l.blobs["index.json"], l.blobs["oci-layout"] = index, []byte(`{"imageLayoutVersion":"1.0.0"}`)
	files := make([]File, 0, len(l.blobs))
	for path, blob := range l.blobs {
		files = append(files, File{Path: path, Mode: 0o644, Content: blob})
	}
	return archive(w, files)
}

// platform adds the blobs of a platform, and returns the descriptor of its manifest.
func (l layout) platform(p Platform) (object, error) {
	var plain, packed bytes.Buffer
	if err := archive(&plain, p.Files); err != nil {
		return nil, err
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(plain.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	layer := l.add(layerType, packed.Bytes())
	config, err := l.json(configType, object{
		"architecture": p.Architecture, "os": "linux",
		"config": object{"Entrypoint": p.Entrypoint, "Cmd": p.Command, "User": p.User, "Env": []string{"PATH=/"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(plain.Bytes())}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := l.json(manifestType, object{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []object{layer}})
	if err != nil {
		return nil, err
	}
	manifest["platform"] = object{"architecture": p.Architecture, "os": "linux"}
	return manifest, nil
}

func (l layout) json(mediaType string, v object) (object, error) {
	text, err := json.Marshal(v) // keys are in order
	return l.add(mediaType, text), err
}

// add adds a blob and returns its descriptor.
func (l layout) add(mediaType string, blob []byte) object {
	d := digest(blob)
	l.blobs["blobs/sha256/"+strings.TrimPrefix(d, "sha256:")] = blob
	return object{"mediaType": mediaType, "digest": d, "size": len(blob)}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// archive writes files, and the folders they are in, as a tar file.
func archive(w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	folders := map[string]bool{}
	for _, f := range files {
		for i, c := range f.Path {
			if c == '/' {
				folders[f.Path[:i+1]] = true
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return err
		}
	}
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Size: int64(len(f.Content))}); err != nil {
			return err
		}
		if _, err := t.Write(f.Content); err != nil {
			return err
		}
	}
	return t.Close()
}

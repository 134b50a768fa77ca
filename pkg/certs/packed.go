package certs

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How a value looks in Secrets.
const (
	storageLabel = "usher.dev/acme-storage" // "value" on the Secret of a key, "part" on the further ones
	labelValue   = "value"
	labelPart    = "part"
	folderPrefix = "acme-folder.usher.dev/" // and a hash: one label for each folder above the key

	fenceAnnotation    = "usher.dev/acme-fence"
	sizeAnnotation     = "usher.dev/acme-size"
	modifiedAnnotation = "usher.dev/acme-modified"

	dataKey   = "key"
	dataValue = "value.gz"
	dataParts = "parts" // names of the Secrets with the rest, one a line

	storageType corev1.SecretType = "usher.dev/acme"

	// partSize leaves room for the rest of the Secret below the API's limit of 1 MiB for all data.
	partSize = 960 << 10
	// mostValue bounds what decompressing gives; certmagic stores keys, chains and small documents.
	mostValue = 64 << 20
)

// packed is a compressed value and the size it had.
type packed struct {
	bytes []byte
	size  int
}

func pack(value []byte) (packed, error) {
	if len(value) > mostValue {
		return packed{}, fmt.Errorf("%d bytes, want at most %d", len(value), mostValue)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(value); err != nil {
		return packed{}, err
	}
	if err := w.Close(); err != nil {
		return packed{}, err
	}
	return packed{b.Bytes(), len(value)}, nil
}

func unpack(compressed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dataValue, err)
	}
	value, err := io.ReadAll(io.LimitReader(r, mostValue+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dataValue, err)
	}
	if len(value) > mostValue {
		return nil, fmt.Errorf("%s: more than %d bytes", dataValue, mostValue)
	}
	return value, nil
}

// secrets gives the Secret of a key, and those of the parts that it has no room for.
func (p packed) secrets(key string) (head *corev1.Secret, parts []*corev1.Secret) {
	first := p.bytes[:min(len(p.bytes), partSize)]
	head = newSecret(secretName(key), labelValue, first)
	head.Data[dataKey] = []byte(key)
	head.Annotations = map[string]string{
		sizeAnnotation:     strconv.Itoa(p.size),
		modifiedAnnotation: time.Now().UTC().Format(time.RFC3339Nano),
	}
	for folder, last := cutLast(key); last; folder, last = cutLast(folder) {
		head.Labels[folderLabel(folder)] = ""
	}
	version := strings.ToLower(rand.Text())
	var names []string
	for rest := p.bytes[len(first):]; len(rest) > 0; rest = rest[min(len(rest), partSize):] {
		name := fmt.Sprintf("%s-%s-%d", head.Name, version[:12], len(parts)+1)
		names = append(names, name)
		parts = append(parts, newSecret(name, labelPart, rest[:min(len(rest), partSize)]))
	}
	if len(names) > 0 {
		head.Data[dataParts] = []byte(strings.Join(names, "\n"))
	}
	return head, parts
}

func newSecret(name, label string, value []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{storageLabel: label, "app.kubernetes.io/managed-by": "usher"}},
		Type:       storageType,
		Data:       map[string][]byte{dataValue: value},
	}
}

func partNames(head *corev1.Secret) []string {
	return strings.Fields(string(head.Data[dataParts]))
}

func keyInfo(key string, head *corev1.Secret) certmagic.KeyInfo {
	info := certmagic.KeyInfo{Key: key, IsTerminal: true}
	info.Size, _ = strconv.ParseInt(head.Annotations[sizeAnnotation], 10, 64)
	info.Modified, _ = time.Parse(time.RFC3339Nano, head.Annotations[modifiedAnnotation])
	return info
}

// cutLast gives the folder of a key, and whether there is one.
func cutLast(key string) (string, bool) {
	i := strings.LastIndexByte(key, '/')
	return key[:max(i, 0)], i > 0
}

func secretName(key string) string     { return "usher-acme-" + hash(key)[:40] }
func folderLabel(folder string) string { return folderPrefix + hash(folder)[:32] }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

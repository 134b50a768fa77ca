package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"
)

// manifest is what one file gave.
type manifest struct {
	sum      [sha256.Size]byte // of the file
	info     fs.FileInfo       // of the file, before it was read; nil when it was not read from one
	read     time.Time         // when
	entries  []entry
	refused  map[object.Change]bool // objects that the file names and that could not be read
	problems []object.Problem
	broken   bool // a part of the file is not a Kubernetes object at all: it may be half written
	empty    bool // there is nothing in the file, not even a comment
	yield    func()
}

// entry is one object of a file.
type entry struct {
	object metav1.Object
	name   object.Change
	place  place
	labels map[string]string // of an Ingress, for a selector; the object has none any more
}

// decode reads one file, on all processors if it is large: any number of documents, each an object of a known kind, one of another kind (skipped in silence), or a
// List of them. It always returns, with what could be read and with problems for the rest.
func decode(file string, data []byte, yield func()) *manifest {
	m := &manifest{yield: yield, sum: sumOf(data, yield), refused: map[object.Change]bool{}, empty: len(bytes.TrimSpace(data)) == 0}
	docs := documents(file, data, yield)
	m.pieces(len(docs), func(m *manifest, i int) { m.document(docs[i]) })
	return m
}

// pieces adds what add finds in the parts 0 to n-1 of a file, in their order. A large file is shared out to all processors.
func (m *manifest) pieces(n int, add func(m *manifest, i int)) {
	const size = 64
	done := make([]manifest, (n+size-1)/size)
	inParallel(len(done), func(piece int) {
		done[piece].refused, done[piece].yield = map[object.Change]bool{}, m.yield
		for i := piece * size; i < min(n, (piece+1)*size); i++ {
			add(&done[piece], i)
			m.yield()
		}
	})
	for i := range done {
		m.join(&done[i])
	}
}

// inParallel calls do for 0 to n-1, on as many processors as there are.
func inParallel(n int, do func(int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	workers.Wait()
}

// join adds what the next piece of the file gave.
func (m *manifest) join(next *manifest) {
	m.entries = append(m.entries, next.entries...)
	m.problems = append(m.problems, next.problems...)
	maps.Copy(m.refused, next.refused)
	m.broken = m.broken || next.broken
}

func (m *manifest) document(d *document) {
	value, warning, err := d.json()
	if warning != "" {
		where, message := d.place(warning)
		m.problem(where, message)
	}
	if err != nil {
		where, message := d.place(err.Error())
		m.problem(where, "not valid YAML: "+message)
		m.broken = true
		return
	}
	if value != nil {
		m.add(part{doc: d, value: value})
	}
}

func (m *manifest) problem(where, message string) {
	m.problems = append(m.problems, object.Problem{Where: where, Message: message})
}

// part is a document, or an item of a List in it.
type part struct {
	doc   *document
	path  string // "" or "items[3]"
	value []byte // JSON
	depth int
}

// at is "file:line" of a field of the object.
func (p part) at(field string) string {
	return p.doc.at(strings.Trim(p.path+"."+field, "."))
}

func (p part) place() place { return place{file: p.doc.file, line: p.doc.line, path: p.path} }

func (m *manifest) add(p part) {
	h, err := readHead(decoder(p.value, m.yield))
	if err != nil || h.APIVersion == "" || h.Kind == "" {
		m.problem(p.at(""), "not a Kubernetes object: it needs apiVersion and kind")
		m.broken = true
		return
	}
	if strings.HasSuffix(h.Kind, "List") && h.Items != nil {
		m.list(p, h)
		return
	}
	if o, ok := newObject(h); ok {
		m.object(p, h, o)
	} else if why := outdated(h); why != "" {
		m.problem(p.at("apiVersion"), why)
	}
}

// list adds the items of a List, on all processors. Those of a typed one, such as IngressList, may leave out what they are.
func (m *manifest) list(p part, h head) {
	item := func(i int) part {
		return part{doc: p.doc, path: strings.TrimPrefix(fmt.Sprintf("%s.items[%d]", p.path, i), "."), value: h.Items[i], depth: p.depth + 1}
	}
	if p.depth == 4 && len(h.Items) > 0 {
		m.problem(item(0).at(""), "Lists in Lists more than 4 deep are not read")
		return
	}
	m.pieces(len(h.Items), func(m *manifest, i int) {
		next := item(i)
		if kind := strings.TrimSuffix(h.Kind, "List"); kind != "" {
			next.value = withKind(next.value, h.APIVersion, kind)
		}
		m.add(next)
	})
}

func withKind(item []byte, apiVersion, kind string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(item, &fields) != nil || fields == nil || fields["kind"] != nil {
		return item
	}
	fields["apiVersion"], _ = json.Marshal(apiVersion)
	fields["kind"], _ = json.Marshal(kind)
	full, err := json.Marshal(fields)
	if err != nil {
		return item
	}
	return full
}

func newObject(h head) (metav1.Object, bool) {
	switch h.APIVersion + " " + h.Kind {
	case "networking.k8s.io/v1 Ingress":
		return &networkingv1.Ingress{}, true
	case "networking.k8s.io/v1 IngressClass":
		return &networkingv1.IngressClass{}, true
	case "v1 Service":
		return &corev1.Service{}, true
	case "discovery.k8s.io/v1 EndpointSlice":
		return &discoveryv1.EndpointSlice{}, true
	case "v1 Secret":
		return &corev1.Secret{}, true
	case "v1 ConfigMap":
		return &corev1.ConfigMap{}, true
	case "v1 Namespace":
		return &corev1.Namespace{}, true
	case "v1 Pod":
		return &corev1.Pod{}, true
	}
	return nil, false
}

// outdated tells of an API version that Kubernetes itself no longer serves.
func outdated(h head) string {
	group, _, _ := strings.Cut(h.APIVersion, "/")
	switch {
	case (group == "extensions" || group == "networking.k8s.io") && (h.Kind == "Ingress" || h.Kind == "IngressClass"):
		return fmt.Sprintf("%s %s: apiVersion %q is not read: want %q", h.Kind, h.Metadata.Name, h.APIVersion, "networking.k8s.io/v1")
	case group == "discovery.k8s.io" && h.Kind == "EndpointSlice":
		return fmt.Sprintf("%s %s: apiVersion %q is not read: want %q", h.Kind, h.Metadata.Name, h.APIVersion, "discovery.k8s.io/v1")
	}
	return ""
}

// object decodes one object. A field that does not exist is told and ignored; a value of the wrong type refuses the object.
func (m *manifest) object(p part, h head, o metav1.Object) {
	kind, _ := object.KindOf(o)
	name := object.Change{Kind: kind, Key: object.Key{Namespace: h.namespace(kind), Name: h.Metadata.Name}}
	strict, err := kjson.UnmarshalStrict(p.value, o)
	if err != nil {
		m.refuse(name, p.at(""), strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	for _, e := range strict {
		m.problem(p.at(fieldIn(e)), fmt.Sprintf("%s %s: %s; it is ignored", kind, name.Key, e))
	}
	o.SetNamespace(name.Key.Namespace)
	o.SetUID(uid(name))
	o.SetResourceVersion(fingerprint(p.value))
	if field, why := invalid(o); why != "" {
		m.refuse(name, p.at(field), why)
		return
	}
	setDefaults(o)
	e := entry{object: o, name: name, place: p.place()}
	if kind == object.Ingress {
		e.labels = o.GetLabels()
	}
	object.Trim(o)
	m.entries = append(m.entries, e)
}

func (m *manifest) refuse(name object.Change, where, why string) {
	m.problem(where, fmt.Sprintf("%s %s: %s", name.Kind, name.Key, why))
	m.refused[name] = true
}

// head is what every object begins with.
type head struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"-"` // of a List; nil where there are none
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
}

func (h head) namespace(kind object.Kind) string {
	switch {
	case kind == object.IngressClass || kind == object.Namespace:
		return ""
	case h.Metadata.Namespace == "":
		return metav1.NamespaceDefault
	}
	return h.Metadata.Namespace
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// fieldIn is the path in an error such as `unknown field "spec.rules[0].hosts"`.
func fieldIn(err error) string {
	if m := quoted.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return ""
}

// uid and fingerprint replace what an API server would have written, and what a dump may have kept: two copies of a dumped object
// share its UID, and an edited one keeps its resourceVersion, so neither can be trusted in a file. An IngressClass or a ConfigMap of a
// file has no UID: the key of session cookies is derived from it, and whoever knows the name would know it.
func uid(name object.Change) types.UID {
	if name.Kind == object.IngressClass || name.Kind == object.ConfigMap {
		return ""
	}
	sum := sha256.Sum256([]byte(string(name.Kind) + "/" + name.Key.Namespace + "/" + name.Key.Name))
	x := hex.EncodeToString(sum[:16])
	return types.UID(strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-"))
}

func fingerprint(value []byte) string {
	var compact bytes.Buffer
	_ = json.Compact(&compact, value) // it was decoded
	sum := sha256.Sum256(compact.Bytes())
	return hex.EncodeToString(sum[:8])
}

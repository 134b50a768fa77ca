package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Files reads a folder of manifests, subfolders included, and reads it again when something in it changes: an edit, a rename, a
// swapped link, a mounted ConfigMap. Files end in .yaml, .yml or .json and hold one or more documents, or a List as
// `kubectl get -o yaml` writes it. Kinds that Usher does not use are skipped.
//
// What a file no longer gives because of a mistake stays in use: all its objects while a part of it cannot be parsed or it is
// empty (an editor may be halfway through), one object while that one is not valid. To remove objects, remove them from the file, or
// the file. An object that stands in two files is taken from the first by name.
type Files struct {
	root  string
	only  string // the one file to read, when root was given as a file
	fsys  fs.FS
	text  func(file string) ([]byte, error)
	log   *zap.Logger
	store *store

	ingresses labels.Selector // what labels of Ingresses have to match; nil is anything

	held map[string]*manifest // by file

	published []object.Problem // of the last publish; with held it is all that one depends on

	watcher *fsnotify.Watcher // nil until it is followed
	poll    time.Duration
}

// NewFiles reads from a folder, or from a single file. Nothing is read before Run. Of Ingresses those are read whose labels match the
// selector; nil is all.
func NewFiles(path string, ingresses labels.Selector, log *zap.Logger) *Files {
	f := &Files{root: path, ingresses: ingresses, log: log, store: newStore(), held: map[string]*manifest{}, poll: pollEvery}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		f.root, f.only = filepath.Split(path)
		f.root = cmp.Or(filepath.Clean(f.root), ".")
	}
	f.from(os.DirFS(f.root))
	return f
}

// Yield has a function called after each object that is read, so that what else is to be run gets its turn. It is set before Run.
func (f *Files) Yield(yield func()) { f.store.yield = yield }

func (f *Files) from(fsys fs.FS) {
	f.fsys, f.text = fsys, func(file string) ([]byte, error) { return fs.ReadFile(fsys, file) }
}

// ReadDir reads a folder, or a single file, once.
func ReadDir(path string, ingresses labels.Selector) (*object.Snapshot, error) {
	return NewFiles(path, ingresses, zap.NewNop()).once()
}

// ReadFS reads the manifests of a file system once, such as one that is embedded in the binary.
func ReadFS(fsys fs.FS) (*object.Snapshot, error) {
	f := &Files{root: ".", log: zap.NewNop(), store: newStore(), held: map[string]*manifest{}}
	f.from(fsys)
	return f.once()
}

// ReadBytes reads one file that is at hand, such as standard input; name is what problems call it.
func ReadBytes(name string, data []byte) *object.Snapshot {
	f := &Files{log: zap.NewNop(), store: newStore(), held: map[string]*manifest{name: decode(name, data, func() {})}}
	f.text = func(string) ([]byte, error) { return data, nil }
	f.publish(nil)
	s, _ := f.store.snapshot()
	return s
}

func (f *Files) once() (*object.Snapshot, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	s, _ := f.store.snapshot()
	return s, nil
}

// Changed has a value when Snapshot would return something new.
func (f *Files) Changed() <-chan struct{} { return f.store.changed }

// Snapshot is what the folder holds; false before it was read for the first time.
func (f *Files) Snapshot() (*object.Snapshot, bool) { return f.store.snapshot() }

// Run reads the folder and follows it until ctx ends. A folder that is not there at the start is an error; one that goes away later
// is a Problem.
func (f *Files) Run(ctx context.Context) error {
	if err := f.read(); err != nil {
		return err
	}
	return f.follow(ctx)
}

// read looks at every file once, and publishes when something is not as it was.
func (f *Files) read() error {
	found, err := f.find()
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.root, bare(err))
	}
	problems, changed := found.problems, !f.store.complete
	for i, look := range f.look(found.files) {
		if look.err != nil {
			problems = append(problems, object.Problem{Where: found.files[i], Message: "cannot be read: " + bare(look.err).Error() + f.kept(found.files[i])})
		}
		if look.next != nil {
			f.held[found.files[i]] = look.next
			changed = true
		}
	}
	for name := range f.held {
		if _, there := slices.BinarySearch(found.files, name); !there && !found.hides(name) {
			delete(f.held, name)
			changed = true
		}
	}
	if changed || !slices.Equal(problems, f.published) {
		f.publish(problems)
	}
	return nil
}

// look is what a look at a file gave: what it holds now, or nil if that is as it was or cannot be known.
type look struct {
	next *manifest
	err  error
}

// look looks at files on all processors: a folder is often many files, each too small to be shared out.
func (f *Files) look(names []string) []look {
	looks := make([]look, len(names))
	inParallel(len(names), func(i int) { looks[i].next, looks[i].err = f.readFile(names[i]) })
	return looks
}

// readFile reads a file, if it may be another than before; nil if it is not. What it held is kept where it is now broken.
func (f *Files) readFile(name string) (*manifest, error) {
	info, err := fs.Stat(f.fsys, name)
	if err != nil {
		return nil, err
	}
	old := f.held[name]
	if old != nil && old.untouched(info) {
		return nil, nil
	}
	now := time.Now()
	data, err := f.text(name)
	if err != nil {
		return nil, err
	}
	if old != nil && old.sum == sumOf(data, f.store.yield) {
		old.info, old.read = info, now
		return nil, nil
	}
	next := decode(name, data, f.store.yield)
	next.info, next.read = info, now
	if old != nil {
		next.keep(name, old)
	}
	return next, nil
}

// settled is the age at which a file's time can be trusted: a file system may give two writes within that time the same one.
const settled = 2 * time.Second

// untouched tells, without reading it, that a file is the one that m was read from.
func (m *manifest) untouched(info fs.FileInfo) bool {
	return m.info != nil && os.SameFile(m.info, info) && m.info.Size() == info.Size() && m.info.Mode() == info.Mode() && m.info.ModTime().Equal(info.ModTime()) &&
		m.read.Sub(info.ModTime()) > settled
}

func (f *Files) kept(name string) string {
	if old := f.held[name]; old != nil && len(old.entries) > 0 {
		return "; what it held before stays in use"
	}
	return ""
}

// keep takes over what old held and m could not read.
func (m *manifest) keep(name string, old *manifest) {
	if m.empty && len(old.entries) > 0 {
		m.problem(name+":1", "the file is empty; what it held before stays in use until it is removed")
		m.entries = old.entries
		return
	}
	if m.broken && len(old.entries) > 0 {
		m.problem(name, "a part of it cannot be read, so everything it held before stays in use")
		m.entries = old.entries
		return
	}
	for _, e := range old.entries {
		if m.refused[e.name] {
			m.problem(name, fmt.Sprintf("%s %s: the version before stays in use", e.name.Kind, e.name.Key))
			m.entries = append(m.entries, e)
		}
	}
}

// publish puts the objects of all files into the store, the first of equal names.
func (f *Files) publish(problems []object.Problem) {
	f.published = slices.Clone(problems)
	objects := map[object.Kind][]metav1.Object{}
	first := map[object.Change]place{}
	places := &locator{read: f.text, files: map[string][]*document{}}
	for _, name := range sortedKeys(f.held) {
		m := f.held[name]
		problems = append(problems, m.problems...)
		for _, e := range m.entries {
			if winner, ok := first[e.name]; ok {
				problems = append(problems, object.Problem{Where: places.where(e.place),
					Message: fmt.Sprintf("%s %s stands in %s too, which wins; this one is ignored", e.name.Kind, e.name.Key, places.where(winner))})
				continue
			}
			f.store.yield()
			first[e.name] = e.place
			if e.name.Kind != object.Ingress || f.ingresses == nil || f.ingresses.Matches(labels.Set(e.labels)) {
				objects[e.name.Kind] = append(objects[e.name.Kind], e.object)
			}
		}
	}
	f.tell(problems)
	f.store.update(func() {
		for kind := range f.store.kinds {
			f.store.replace(kind, objects[kind])
		}
		f.store.setProblems(problems)
		f.store.complete = true
	})
}

// gone keeps everything while the folder itself cannot be read.
func (f *Files) gone(err error) {
	problems := []object.Problem{{Where: f.root, Message: err.Error() + "; what it held before stays in use"}}
	f.published = problems
	f.tell(problems)
	f.store.update(func() { f.store.setProblems(problems) })
}

// tell logs the problems that are new.
func (f *Files) tell(problems []object.Problem) {
	known := make(map[object.Problem]bool, len(f.store.problems))
	for _, p := range f.store.problems {
		known[p] = true
	}
	for _, p := range problems {
		if !known[p] {
			f.log.Warn("problem in a manifest", zap.String("where", p.Where), zap.String("message", p.Message))
		}
	}
}

// bare is the cause of a file system's error, without the operation and path, which the caller says.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func sortedKeys(held map[string]*manifest) []string {
	names := make([]string, 0, len(held))
	for name := range held {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

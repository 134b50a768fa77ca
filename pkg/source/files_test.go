package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shop = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: demo}
spec:
  rules:
  - host: shop.example
    http:
      paths:
      - path: /
        backend: {service: {name: shop, port: {number: 80}}}
`

const service = `apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec:
  ports: [{port: 80}]
`

func read(t *testing.T, files map[string]string) *object.Snapshot {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	s, err := ReadFS(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantProblems(t *testing.T, s *object.Snapshot, want ...string) {
	t.Helper()
	var got []string
	for _, p := range s.Problems {
		got = append(got, p.Where+" "+p.Message)
	}
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFolder(t *testing.T) {
	s := read(t, map[string]string{
		"a.yaml":         shop + "---\n" + service,
		"sub/deep/b.yml": "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: usher, namespace: ignored}\nspec: {controller: usher.dev/ingress-controller}\n",
		"c.json":         `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"hsts":"false"}} {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"demo"}}`,
		".hidden.yaml":   "nonsense",
		"..data/x.yaml":  shop,
		"README.md":      "not read",
		"deploy.yaml":    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: shop}\n",
		"comments.yaml":  "# only a comment\n---\n",
	})
	wantProblems(t, s)
	if len(s.Ingresses) != 1 || len(s.Services) != 1 || len(s.IngressClasses) != 1 || len(s.ConfigMaps) != 1 || len(s.Namespaces) != 1 {
		t.Errorf("read %+v", s)
	}
	if s.ConfigMaps[object.Key{Namespace: "default", Name: "settings"}] == nil {
		t.Error("a missing namespace is not default")
	}
	if s.IngressClasses["usher"].Namespace != "" {
		t.Error("a cluster-scoped object has a namespace")
	}
	if s.Changes != nil {
		t.Error("the first Snapshot tells changes")
	}
}

func TestDefaults(t *testing.T) {
	s := read(t, map[string]string{"a.yaml": shop + "---\n" + service + `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: demo, labels: {kubernetes.io/service-name: shop}}
endpoints: [{addresses: ["::1"]}]
ports: [{port: 8080}]
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: demo}
data: {a: b2xk, b: Yg==}
stringData: {a: new}
`})
	wantProblems(t, s)
	key := object.Key{Namespace: "demo", Name: "shop"}
	if got := *s.Ingresses[key].Spec.Rules[0].HTTP.Paths[0].PathType; got != networkingv1.PathTypeImplementationSpecific {
		t.Errorf("pathType %s", got)
	}
	port := s.Services[key].Spec.Ports[0]
	if port.Protocol != corev1.ProtocolTCP || port.TargetPort.IntVal != 80 {
		t.Errorf("port %+v", port)
	}
	slice := s.EndpointSlices.Of(key)[0]
	if slice.AddressType != discoveryv1.AddressTypeIPv6 || *slice.Ports[0].Name != "" || *slice.Ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("slice %+v", slice)
	}
	secret := s.Secrets[object.Key{Namespace: "demo", Name: "login"}]
	if string(secret.Data["a"]) != "new" || string(secret.Data["b"]) != "b" || secret.Type != corev1.SecretTypeOpaque {
		t.Errorf("secret %+v", secret)
	}
	if a, b := s.Ingresses[key], s.Services[key]; a.UID == "" || a.UID == b.UID || a.ResourceVersion == "" {
		t.Errorf("UIDs %q %q, resourceVersion %q", a.UID, b.UID, a.ResourceVersion)
	}
}

func TestLists(t *testing.T) {
	item := `{"metadata":{"name":"%s","namespace":"demo","uid":"same","resourceVersion":"1","managedFields":[{"manager":"kubectl"}]},"spec":{"rules":[{"host":"%s.example"}]},"status":{"loadBalancer":{}}}`
	s := read(t, map[string]string{
		"typed.json": fmt.Sprintf(`{"apiVersion":"networking.k8s.io/v1","kind":"IngressList","items":[`+item+","+item+"]}", "a", "a", "b", "b"),
		"dump.yaml":  "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec:\n    ports: []\n    typo: 1\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n",
	})
	wantProblems(t, s, `dump.yaml:9 Service default/a: unknown field "spec.typo"; it is ignored`)
	a, b := s.Ingresses[object.Key{Namespace: "demo", Name: "a"}], s.Ingresses[object.Key{Namespace: "demo", Name: "b"}]
	if a == nil || b == nil || a.UID == b.UID || a.ResourceVersion == b.ResourceVersion || a.ManagedFields != nil {
		t.Errorf("a %v\nb %v", a, b)
	}
}

func TestProblemsNameFileAndLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"syntax", "apiVersion: v1\nkind: Service\nmetadata:\n  name: [a\n", "x.yaml:4 not valid YAML: did not find expected"},
		{"syntax in the second", service + "---\n\nkind: \"a\n", "x.yaml:"},
		{"not an object", "- a\n- b\n", "x.yaml:1 not a Kubernetes object"},
		{"half a key", "apiVers", "x.yaml:1 not a Kubernetes object"},
		{"unknown field", strings.Replace(shop, "path: /", "patth: /", 1), `x.yaml:9 Ingress demo/shop: unknown field "spec.rules[0].http.paths[0].patth"; it is ignored`},
		{"wrong type", strings.Replace(shop, "number: 80", "number: http", 1), "x.yaml:1 Ingress demo/shop: cannot unmarshal string into Go struct field"},
		{"name", strings.Replace(shop, "name: shop", "name: Shop", 1), `x.yaml:3 Ingress demo/Shop: metadata.name "Shop": a lowercase RFC 1123 subdomain`},
		{"no name", strings.Replace(shop, "name: shop, ", "", 1), "x.yaml:3 Ingress demo/: metadata.name is missing"},
		{"namespace", strings.Replace(shop, "demo", "d.e", 1), `metadata.namespace "d.e"`},
		{"twice", service + "kind: Service\n", `x.yaml:6`},
		{"old version", strings.Replace(shop, "networking.k8s.io/v1", "extensions/v1beta1", 1), `x.yaml:1 Ingress shop: apiVersion "extensions/v1beta1" is not read: want "networking.k8s.io/v1"`},
		{"slice of nobody", "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n", "x.yaml:3 EndpointSlice default/a: the label kubernetes.io/service-name is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantProblems(t, read(t, map[string]string{"x.yaml": test.text}), test.want)
		})
	}
}

// TestPlaceInList: an item of a List that is there twice is told by its own line, also when there is no file to look into again.
func TestPlaceInList(t *testing.T) {
	const list = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}}
- {apiVersion: v1, kind: Service, metadata: {name: b}}
- {apiVersion: v1, kind: Service, metadata: {name: a}}
`
	want := "x.yaml:6 Service default/a stands in x.yaml:4 too, which wins; this one is ignored"
	wantProblems(t, read(t, map[string]string{"x.yaml": list}), want)
	wantProblems(t, ReadBytes("x.yaml", []byte(list)), want)
}

func TestFirstFileWins(t *testing.T) {
	s := read(t, map[string]string{"b.yaml": strings.Replace(shop, "shop.example", "b.example", 1), "a.yaml": "\n# first\n" + shop})
	wantProblems(t, s, "b.yaml:1 Ingress demo/shop stands in a.yaml:3 too, which wins; this one is ignored")
	if got := s.Ingresses[object.Key{Namespace: "demo", Name: "shop"}].Spec.Rules[0].Host; got != "shop.example" {
		t.Errorf("host %q", got)
	}
}

// followed is a folder under a running Files.
type followed struct {
	t     *testing.T
	dir   string
	files *Files
}

func follow(t *testing.T, files map[string]string) *followed {
	t.Helper()
	f := &followed{t: t, dir: t.TempDir()}
	for name, text := range files {
		f.write(name, text)
	}
	f.start(f.dir)
	return f
}

func (f *followed) start(path string) {
	f.t.Helper()
	f.files = NewFiles(path, nil, zap.NewNop())
	f.files.poll = time.Hour // it is the notification that counts
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.files.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	f.next(func(*object.Snapshot) bool { return true })
}

func (f *followed) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	f.must(os.MkdirAll(filepath.Dir(path), 0o755))
	f.must(os.WriteFile(path, []byte(text), 0o644))
}

func (f *followed) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// next waits for a Snapshot that satisfies.
func (f *followed) next(satisfies func(*object.Snapshot) bool) *object.Snapshot {
	f.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case <-f.files.Changed():
			if s, ok := f.files.Snapshot(); ok && satisfies(s) {
				return s
			}
		case <-timeout:
			f.t.Fatal("no such Snapshot came")
		}
	}
}

func host(name string) func(*object.Snapshot) bool {
	return func(s *object.Snapshot) bool {
		i := s.Ingresses[object.Key{Namespace: "demo", Name: "shop"}]
		return i != nil && i.Spec.Rules[0].Host == name
	}
}

func withHost(name string) string { return strings.Replace(shop, "shop.example", name, 1) }

func TestEdit(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop, "b.yaml": service})
	f.write("a.yaml", withHost("new.example"))
	s := f.next(host("new.example"))
	if len(s.Changes) != 1 || s.Changes[0] != (object.Change{Kind: object.Ingress, Key: object.Key{Namespace: "demo", Name: "shop"}}) {
		t.Errorf("changes %v", s.Changes)
	}
	if age := time.Since(s.Since); age < 0 || age > time.Minute {
		t.Errorf("since %v", s.Since)
	}
}

func TestEditorsRename(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop})
	f.write(".a.yaml.tmp", withHost("renamed.example"))
	f.must(os.Rename(filepath.Join(f.dir, ".a.yaml.tmp"), filepath.Join(f.dir, "a.yaml")))
	f.next(host("renamed.example"))
	// vim: the old file aside, a new one in its place
	f.must(os.Rename(filepath.Join(f.dir, "a.yaml"), filepath.Join(f.dir, "a.yaml~")))
	f.write("a.yaml", withHost("vim.example"))
	f.next(host("vim.example"))
}

func TestRemoveAndRenameFile(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop, "b.yaml": service})
	f.must(os.Remove(filepath.Join(f.dir, "b.yaml")))
	f.next(func(s *object.Snapshot) bool { return len(s.Services) == 0 && len(s.Ingresses) == 1 })
	f.must(os.Rename(filepath.Join(f.dir, "a.yaml"), filepath.Join(f.dir, "a.txt")))
	f.next(func(s *object.Snapshot) bool { return len(s.Ingresses) == 0 })
}

func TestHalfWrittenFileKeepsItsObjects(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop, "b.yaml": service})
	for _, half := range []string{"", "apiVers", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: sh", shop[:len(shop)-3]} {
		f.write("a.yaml", half)
		s := f.next(func(s *object.Snapshot) bool { return len(s.Problems) > 0 })
		if !host("shop.example")(s) || len(s.Services) != 1 {
			t.Errorf("after %q the old objects are gone", half)
		}
		if last := s.Problems[len(s.Problems)-1].Message; !strings.Contains(last, "stays in use") {
			t.Errorf("after %q: %s", half, last)
		}
		f.write("a.yaml", shop)
		f.next(func(s *object.Snapshot) bool { return len(s.Problems) == 0 })
	}
}

func TestInvalidObjectKeepsItsVersionOnly(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop + "---\n" + service})
	f.write("a.yaml", strings.Replace(withHost("x.example"), "number: 80", "number: http", 1)+"---\n"+strings.Replace(service, "80", "81", 1))
	s := f.next(func(s *object.Snapshot) bool {
		return s.Services[object.Key{Namespace: "demo", Name: "shop"}].Spec.Ports[0].Port == 81
	})
	if !host("shop.example")(s) {
		t.Error("the refused Ingress did not keep its old version")
	}
	wantProblems(t, s, "a.yaml:1 Ingress demo/shop: cannot unmarshal", "a.yaml Ingress demo/shop: the version before stays in use")
}

// TestConfigMapVolume swaps ..data as the kubelet does.
func TestConfigMapVolume(t *testing.T) {
	f := &followed{t: t, dir: t.TempDir()}
	f.write("..v1/a.yaml", shop)
	f.must(os.Symlink("..v1", filepath.Join(f.dir, "..data")))
	f.must(os.Symlink("..data/a.yaml", filepath.Join(f.dir, "a.yaml")))
	f.start(f.dir)
	f.write("..v2/a.yaml", withHost("v2.example"))
	f.must(os.Symlink("..v2", filepath.Join(f.dir, "..data_tmp")))
	f.must(os.Rename(filepath.Join(f.dir, "..data_tmp"), filepath.Join(f.dir, "..data")))
	f.must(os.RemoveAll(filepath.Join(f.dir, "..v1")))
	f.next(host("v2.example"))
}

func TestSwappedRoot(t *testing.T) {
	f := &followed{t: t, dir: t.TempDir()}
	f.write("one/a.yaml", shop)
	f.write("two/a.yaml", withHost("two.example"))
	f.must(os.Symlink("one", filepath.Join(f.dir, "current")))
	f.start(filepath.Join(f.dir, "current"))
	f.must(os.Symlink("two", filepath.Join(f.dir, "next")))
	f.must(os.Rename(filepath.Join(f.dir, "next"), filepath.Join(f.dir, "current")))
	f.next(host("two.example"))
	f.write("two/a.yaml", withHost("edited.example"))
	f.next(host("edited.example"))
}

func TestNewSubfolder(t *testing.T) {
	f := follow(t, map[string]string{"b.yaml": service})
	f.write("team/a/x.yaml", shop)
	f.next(host("shop.example"))
	f.write("team/a/x.yaml", withHost("edited.example"))
	f.next(host("edited.example"))
}

func TestFolderGoesAndComesBack(t *testing.T) {
	f := &followed{t: t, dir: t.TempDir()}
	f.write("m/a.yaml", shop)
	f.start(filepath.Join(f.dir, "m"))
	f.must(os.Rename(filepath.Join(f.dir, "m"), filepath.Join(f.dir, "away")))
	s := f.next(func(s *object.Snapshot) bool { return len(s.Problems) == 1 })
	if !host("shop.example")(s) {
		t.Error("the objects are gone with the folder")
	}
	f.write("m/a.yaml", withHost("back.example"))
	f.next(host("back.example"))
}

func TestSingleFile(t *testing.T) {
	f := &followed{t: t, dir: t.TempDir()}
	f.write("a.yaml", shop)
	f.write("other.yaml", service)
	f.start(filepath.Join(f.dir, "a.yaml"))
	f.write("a.yaml", withHost("new.example"))
	if s := f.next(host("new.example")); len(s.Services) != 0 {
		t.Error("it read the file beside")
	}
}

func TestFolderMissingAtStart(t *testing.T) {
	if err := NewFiles(filepath.Join(t.TempDir(), "none"), nil, zap.NewNop()).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("error %v", err)
	}
}

func TestLinkLoop(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(".", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	s, err := ReadDir(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantProblems(t, s, "loop the link leads back")
}

func TestFilesIngressSelector(t *testing.T) {
	dir := t.TempDir()
	write := func(labels string) {
		t.Helper()
		text := strings.Replace(shop, "metadata: {", "metadata: {labels: {"+labels+"}, ", 1)
		if text == shop {
			t.Fatal("the manifest has no metadata in a line")
		}
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	selector, _ := labels.Parse("team=web")
	for given, want := range map[string]int{"team: web": 1, "team: shop": 0, "": 0} {
		write(given)
		s, err := ReadDir(dir, selector)
		if err != nil || len(s.Ingresses) != want || len(s.Problems) > 0 {
			t.Errorf("labels %q: %d Ingresses, %v, %v, want %d", given, len(s.Ingresses), s.Problems, err, want)
		}
	}
}

func TestReadBytes(t *testing.T) {
	s := ReadBytes("stdin", []byte(shop+"---\nnonsense"))
	if !host("shop.example")(s) {
		t.Error("the Ingress is missing")
	}
	wantProblems(t, s, "stdin:12 not a Kubernetes object")
}

func TestUnchangedContentIsNoChange(t *testing.T) {
	f := follow(t, map[string]string{"a.yaml": shop})
	if err := f.files.store.snapshotAgain(); err != nil {
		t.Error(err)
	}
}

func (s *store) snapshotAgain() error {
	snap, ok := s.snapshot()
	if !ok || snap.Changes == nil || len(snap.Changes) != 0 {
		return fmt.Errorf("a second Snapshot tells %v, %v", snap.Changes, ok)
	}
	return nil
}

// TestFilesThatNobodyTouchedAreNotRead: what stat says is enough, unless the file is so young that another write could have the same
// time.
func TestFilesThatNobodyTouchedAreNotRead(t *testing.T) {
	nothing := func(*testing.T, string) {}
	for _, c := range []struct {
		name  string
		age   time.Duration
		touch func(*testing.T, string)
		want  bool
	}{
		{"old", time.Minute, nothing, true},
		{"young", 0, nothing, false},
		{"another time", time.Minute, func(t *testing.T, path string) { age(t, path, time.Minute-time.Second) }, false},
		{"another length", time.Minute, func(t *testing.T, path string) {
			try(t, os.WriteFile(path, []byte("kind: longer"), 0o600))
			age(t, path, time.Minute)
		}, false},
		{"another mode", time.Minute, func(t *testing.T, path string) { try(t, os.Chmod(path, 0o400)) }, false},
		{"another file", time.Minute, func(t *testing.T, path string) {
			try(t, os.WriteFile(path+".new", []byte("kind: y"), 0o600))
			age(t, path+".new", time.Minute)
			try(t, os.Rename(path+".new", path))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.yaml")
			try(t, os.WriteFile(path, []byte("kind: x"), 0o600))
			age(t, path, c.age)
			before, err := os.Stat(path)
			try(t, err)
			m := &manifest{info: before, read: begun}
			c.touch(t, path)
			now, err := os.Stat(path)
			try(t, err)
			if got := m.untouched(now); got != c.want {
				t.Errorf("untouched %v, want %v", got, c.want)
			}
		})
	}
}

// begun is the moment that ages of files count from.
var begun = time.Now()

func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	try(t, os.Chtimes(path, time.Time{}, begun.Add(-by)))
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadingYields: a file of many objects lets others run at least once for each, and also while it is taken apart.
func TestReadingYields(t *testing.T) {
	const items = 2000
	item := `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s%d"},"spec":{"ports":[{"port":80}]}}`
	var list []string
	for i := range items {
		list = append(list, fmt.Sprintf(item, i))
	}
	for name, data := range map[string]string{
		"list.json": `{"apiVersion":"v1","kind":"List","items":[` + strings.Join(list, ",") + "]}", "many.json": strings.Join(list, "\n"), "many.yaml": strings.Join(list, "\n---\n"),
	} {
		var yields atomic.Int64
		m := decode(name, []byte(data), func() { yields.Add(1) })
		if len(m.entries) != items || len(m.problems) > 0 {
			t.Errorf("%s: %d objects, %v", name, len(m.entries), m.problems)
		}
		if n := yields.Load(); n < items+int64(len(data))/partSize {
			t.Errorf("%s: %d yields for %d objects in %d bytes", name, n, items, len(data))
		}
	}
}

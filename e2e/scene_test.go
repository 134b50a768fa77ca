//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// patience is how long a test waits for what takes a moment: long enough for
// the race detector on a busy machine.
const patience = 30 * time.Second

// shipped is where the chart keeps the roles.
const shipped = "../charts/usher/files/rbac/"

// scene is what one test has in the cluster.
type scene struct {
	t          *testing.T
	client     kubernetes.Interface // as administrator
	objects    dynamic.Interface    // as administrator
	namespace  string               // of Ingresses and all they need
	system     string               // namespace of Usher itself
	class      string               // the IngressClass, and the name of its controller
	kubeconfig string               // Usher's
	folder     string               // of manifests, in the place of a cluster; see folderScene
	acme       string               // folder of ACME's storage, without a cluster
	logs       string               // folder of what Usher prints
}

// newScene gives the test its namespaces and class, and Usher the roles that it
// ships for the whole cluster.
func newScene(t *testing.T, further ...cluster.Grant) *scene {
	t.Helper()
	s := emptyScene(t)
	s.account(append(further,
		cluster.Grant{File: shipped + "clusterrole.yaml"},
		cluster.Grant{File: shipped + "role-leader-election.yaml", Namespace: s.system},
		cluster.Grant{File: shipped + "role-session-tickets.yaml", Namespace: s.system})...)
	return s
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// emptyScene is a scene in which Usher has no account yet.
func emptyScene(t *testing.T) *scene {
	t.Helper()
	if err := startCluster(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(theCluster.Logs())
		}
	})
	name := sceneName(t)
	objects, err := dynamic.NewForConfig(theCluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, client: theCluster.Client(), objects: objects, namespace: name, system: name + "-system", class: name, logs: theCluster.Dir()}
	for _, namespace := range []string{s.namespace, s.system} {
		s.makeNamespace(namespace)
	}
	s.applyClass()
	return s
}

// sceneName is a name for namespaces and such, made of the test's.
func sceneName(t *testing.T) string {
	return strings.Trim(unfit.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
}

func (s *scene) applyClass() {
	s.t.Helper()
	s.apply(`{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: $class}, spec: {controller: usher.dev/$class}}`)
}

func (s *scene) makeNamespace(name string) {
	s.t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := s.client.CoreV1().Namespaces().Create(s.t.Context(), object, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) account(grants ...cluster.Grant) {
	s.t.Helper()
	var err error
	s.kubeconfig, err = theCluster.ServiceAccount(s.t.Context(), cluster.Account{Namespace: s.system, Name: "usher", Grants: grants})
	if err != nil {
		s.t.Fatal(err)
	}
}

// resources are the kinds that a manifest of a test may hold.
var resources = map[string]schema.GroupVersionResource{
	"ConfigMap":     {Version: "v1", Resource: "configmaps"},
	"EndpointSlice": {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	"Ingress":       {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	"IngressClass":  {Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"},
	"Secret":        {Version: "v1", Resource: "secrets"},
	"Service":       {Version: "v1", Resource: "services"},
}

// apply creates or changes the objects of a YAML text, in the scene's namespace
// unless they name another. $class, $namespace and $system stand for the
// scene's own.
func (s *scene) apply(text string) {
	s.t.Helper()
	documents := yaml.NewYAMLOrJSONDecoder(strings.NewReader(s.expand(text)), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			s.t.Fatalf("%v in\n%s", err, text)
		}
		if s.folder != "" {
			s.write(object)
			continue
		}
		options := metav1.ApplyOptions{FieldManager: "e2e", Force: true}
		if _, err := s.of(object).Apply(s.t.Context(), object.GetName(), object, options); err != nil {
			s.t.Fatalf("%v in\n%s", err, text)
		}
	}
}

func (s *scene) of(object *unstructured.Unstructured) dynamic.ResourceInterface {
	resource := s.objects.Resource(resources[object.GetKind()])
	switch {
	case object.GetKind() == "IngressClass":
		return resource
	case object.GetNamespace() != "":
		return resource.Namespace(object.GetNamespace())
	}
	return resource.Namespace(s.namespace)
}

func (s *scene) expand(text string) string {
	return os.Expand(text, func(name string) string {
		switch name {
		case "class":
			return s.class
		case "namespace":
			return s.namespace
		case "system":
			return s.system
		}
		return "$" + name
	})
}

// remove deletes an object of the scene's namespace.
func (s *scene) remove(kind, name string) {
	s.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
	if err := s.of(object).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// removeClass deletes an IngressClass.
func (s *scene) removeClass(name string) {
	s.t.Helper()
	if err := s.client.NetworkingV1().IngressClasses().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Error(err)
	}
}

// awaitNextSecond waits for objects to be told apart by their creation time,
// which the API server keeps in whole seconds.
func awaitNextSecond() {
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1010 * time.Millisecond)))
}

// ingress applies an Ingress of the scene's class. The spec is YAML, flush left.
func (s *scene) ingress(name, spec string, annotations ...string) {
	s.t.Helper()
	s.apply(fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  annotations: {%s}\nspec:\n  ingressClassName: $class\n%s",
		name, strings.Join(annotations, ", "), indent(spec)))
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n  ") + "\n"
}

// route applies an Ingress that sends a host's traffic below path to port 80
// of a Service.
func (s *scene) route(name, host, path, service string) {
	s.t.Helper()
	s.ingress(name, fmt.Sprintf(`rules: [{host: %q, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}}]`, host, path, service))
}

// address is the next unused one for a backend.
func address() string {
	n := addresses.Add(1)
	return fmt.Sprintf("10.244.%d.%d", n/250, n%250+1)
}

var addresses atomic.Int64

// backend starts a backend on port 8080 and makes a Service for it with port
// 80, named http, and an EndpointSlice.
func (s *scene) backend(name string) *cluster.Backend {
	s.t.Helper()
	host := address()
	b := s.listen(name, host+":8080")
	s.service(name)
	s.slice(name, fmt.Sprintf(`{addresses: [%s], conditions: {ready: true}}`, host))
	return b
}

func (s *scene) listen(name, address string) *cluster.Backend {
	s.t.Helper()
	b, err := cluster.StartBackend(name, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	return b
}

// service applies a Service without a selector: its EndpointSlice is the test's.
func (s *scene) service(name string) {
	s.t.Helper()
	s.apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {ports: [{name: http, port: 80, targetPort: 8080}]}}`, name))
}

// slice applies the EndpointSlice of a Service, with port 8080 named http. The
// endpoints are YAML, comma-separated.
func (s *scene) slice(service, endpoints string) {
	s.t.Helper()
	family := "IPv4"
	if strings.Contains(endpoints, "fd00:") {
		family = "IPv6"
	}
	s.apply(fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: %[2]s
ports: [{name: http, port: 8080}]
endpoints: [%[3]s]
`, service, family, endpoints))
}

// secret applies a TLS Secret of the scene's namespace.
func (s *scene) secret(name string, pair cluster.KeyPair) {
	s.t.Helper()
	s.apply(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n%s  tls.key: |\n%s",
		name, indent(indent(string(pair.Cert))), indent(indent(string(pair.Key)))))
}

// await calls check until it returns nil, and fails the test if that takes too
// long.
func await(t *testing.T, check func() error) {
	t.Helper()
	awaitFor(t, patience, check)
}

// awaitFor is await for what takes longer than a moment by its nature.
func awaitFor(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not after %v: %v", limit, err)
		case <-tick.C:
		}
	}
}

// cutSlash splits "resource/subresource".
func cutSlash(resource string) (string, string) {
	before, after, _ := strings.Cut(resource, "/")
	return before, after
}

// run runs an usher command and returns its exit status and what it has printed.
func (s *scene) run(arguments ...string) (status int, stdout, stderr string) {
	s.t.Helper()
	cmd := usherCommand(arguments...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), problems.String()
}

//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/usher-ingress/usher/e2e/chart"
)

// operatorVariable names the folder with the CustomResourceDefinitions of Prometheus Operator.
const operatorVariable = "USHER_E2E_PROMETHEUS_OPERATOR"

// prometheusOperator is the release whose CustomResourceDefinitions the chart's monitors must fit.
const prometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

// buildChart builds helm, and finds the CustomResourceDefinitions where Go keeps modules.
func buildChart() error {
	if err := chart.Build(); err != nil {
		return err
	}
	out, err := exec.Command("go", "mod", "download", "-json", prometheusOperator).Output()
	if err != nil {
		return fmt.Errorf("go mod download %s: %w\n%s", prometheusOperator, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	return os.Setenv(operatorVariable, filepath.Join(module.Dir, "example", "prometheus-operator-crd"))
}

// TestChartIsAccepted gives the API server everything the chart renders, for each set of values of package chart: every field must be
// one it knows, and the Pods must fit Pod Security's "restricted".
func TestChartIsAccepted(t *testing.T) {
	s := emptyScene(t)
	s.installOperator()
	for _, namespace := range []string{"shop", "usher", "monitoring"} {
		s.makeNamespace(namespace)
	}
	for _, values := range []string{"default", "scope", "roles-only", "secrets-by-name", "everything", "ingress-nginx"} {
		t.Run(values, func(t *testing.T) {
			s := *s
			s.t = t
			namespace := "chart-" + values
			s.restricted(namespace)
			s.create(s.render(namespace, "-f", chart.Values(values)))
		})
	}
	nodes := []string{"daemonset", "host-network", "bare-metal", "texts", "further"} // not for "restricted", or not about it
	old, err := filepath.Glob(filepath.Join(filepath.Dir(chart.Values("default")), "old", "*.yaml"))
	if err != nil || len(old) == 0 {
		t.Fatalf("%d values of ingress-nginx's charts, %v", len(old), err)
	}
	for _, file := range old {
		nodes = append(nodes, "old/"+strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	for _, values := range nodes {
		t.Run(values, func(t *testing.T) {
			s := *s
			s.t = t
			namespace := "chart-" + strings.NewReplacer("/", "-", ".", "-").Replace(values)
			s.makeNamespace(namespace)
			s.create(s.render(namespace, "-f", chart.Values(values)))
		})
	}
}

// TestChartRights asks what Usher's account may do with the Roles that the chart renders.
func TestChartRights(t *testing.T) {
	s := emptyScene(t)
	for _, namespace := range []string{"rights-shop", "rights-other"} {
		s.makeNamespace(namespace)
	}
	const shop, other = "rights-shop", "rights-other"
	for _, c := range []struct {
		name, set     string
		mustNot, must []string // see accountMay
	}{
		{"cluster", "", []string{"update secrets " + other + " x", "list pods - -", "create ingresses.networking.k8s.io " + shop + " -"},
			[]string{"watch ingresses.networking.k8s.io - -", "list secrets - -", "watch namespaces - -", "update leases.coordination.k8s.io own usher-leader", "update secrets own usher-session-tickets", "create events " + shop + " -"}},
		{"scope", "controller.scope.enabled=true,controller.scope.namespace=" + shop, []string{"list namespaces - -", "list secrets - -", "get secrets " + other + " x", "watch ingresses.networking.k8s.io - -", "get secrets own default-tls"},
			[]string{"list secrets " + shop + " -", "watch ingressclasses.networking.k8s.io - -", "get services own usher", "watch configmaps own usher", "patch ingresses/status.networking.k8s.io " + shop + " web"}},
		{"roles", "controller.scope.enabled=true,rbac.scope=true", []string{"watch ingressclasses.networking.k8s.io - -", "list secrets - -"},
			[]string{"list secrets own -", "get services own usher", "watch ingresses.networking.k8s.io own -"}},
		{"names", "controller.secrets.byName=true,controller.secrets.allowed." + shop + "[0]=tls", []string{"list secrets - -", "list secrets " + shop + " -", "get secrets " + shop + " other", "get secrets own x"},
			[]string{"watch secrets " + shop + " tls", "list secrets " + shop + " tls", "watch ingresses.networking.k8s.io - -", "update secrets own usher-session-tickets"}},
		{"selector", "controller.scope.namespaceSelector=team=shop", nil, []string{"watch namespaces - -"}},
		{"pods", "controller.explainPods=true", []string{"delete pods - -"}, []string{"list pods - -"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			own := "rights-" + c.name
			s.makeNamespace(own)
			s.create(s.render(own, "--set", c.set))
			for _, question := range c.mustNot {
				if s.accountMay(own, question) {
					t.Errorf("may %s", question)
				}
			}
			for _, question := range c.must {
				if !s.accountMay(own, question) {
					t.Errorf("may not %s", question)
				}
			}
		})
	}
}

func (s *scene) render(namespace string, arguments ...string) *chart.Release {
	s.t.Helper()
	release, err := chart.Render(namespace, arguments...)
	if err != nil {
		s.t.Fatal(err)
	}
	return release
}

// restricted makes a namespace that takes no Pod which Pod Security's "restricted" does not. There is no controller to make its
// default account.
func (s *scene) restricted(name string) {
	s.t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := s.client.CoreV1().Namespaces().Create(s.t.Context(), object, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := s.client.CoreV1().ServiceAccounts(name).Create(s.t.Context(), account, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// create creates the objects of a release, and a Pod as its controller would.
func (s *scene) create(release *chart.Release) {
	s.t.Helper()
	groups, err := restmapper.GetAPIGroupResources(s.client.Discovery())
	if err != nil {
		s.t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for _, object := range release.Objects {
		if object.GetKind() == "ScaledObject" {
			continue // KEDA's kinds are not installed
		}
		if object.GetNamespace() == "" {
			object.SetNamespace(release.Namespace) // as helm does
		}
		s.createOne(mapper, object)
		template, ok, _ := unstructured.NestedMap(object.Object, "spec", "template")
		if !ok {
			continue
		}
		pod := &unstructured.Unstructured{Object: template}
		pod.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
		pod.SetGenerateName(object.GetName() + "-")
		pod.SetNamespace(object.GetNamespace())
		s.createOne(mapper, pod)
	}
}

func (s *scene) createOne(mapper meta.RESTMapper, object *unstructured.Unstructured) {
	s.t.Helper()
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		s.t.Error(err)
		return
	}
	var resource dynamic.ResourceInterface = s.objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = s.objects.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	_, err = resource.Create(s.t.Context(), object, options)
	if apierrors.IsAlreadyExists(err) && kind.Kind == "IngressClass" {
		return // every set of values but one has the same
	}
	if err != nil {
		s.t.Errorf("%s %s: %v", kind.Kind, object.GetName(), err)
	}
}

// installOperator makes the API server know the kinds of Prometheus Operator.
func (s *scene) installOperator() {
	s.t.Helper()
	definitions := s.objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		text, err := os.ReadFile(filepath.Join(os.Getenv(operatorVariable), "monitoring.coreos.com_"+kind+".yaml"))
		if err != nil {
			s.t.Fatal(err)
		}
		definition := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &definition.Object); err != nil {
			s.t.Fatal(err)
		}
		if _, err := definitions.Create(s.t.Context(), definition, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
		await(s.t, func() error {
			_, err := s.objects.Resource(schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: kind}).List(s.t.Context(), metav1.ListOptions{})
			return err
		})
	}
}

// accountMay asks the API server what the account usher of a namespace may do: "verb resource[/subresource][.group] namespace name".
// The namespace "own" is its own, and "-" is none.
func (s *scene) accountMay(own, question string) bool {
	s.t.Helper()
	words := strings.Fields(question)
	if len(words) != 4 {
		s.t.Fatal(errors.New(question))
	}
	for i, word := range words {
		if word == "-" {
			words[i] = ""
		}
	}
	if words[2] == "own" {
		words[2] = own
	}
	resource, group, _ := strings.Cut(words[1], ".")
	resource, subresource := cutSlash(resource)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + own + ":usher",
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: words[0], Group: group, Resource: resource, Subresource: subresource, Namespace: words[2], Name: words[3],
		},
	}}
	review, err := s.client.AuthorizationV1().SubjectAccessReviews().Create(s.t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return review.Status.Allowed
}

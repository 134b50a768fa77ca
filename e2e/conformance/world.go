//go:build linux

package conformance

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// World is where the controller finds its objects.
type World interface {
	// Apply makes the objects all there are in a namespace, which it creates.
	Apply(ctx context.Context, namespace string, objects []*unstructured.Unstructured) error
	// Clear removes the namespace.
	Clear(ctx context.Context, namespace string) error
	// Exposed reports whether the status of an Ingress names an address; known
	// is false in a world without status.
	Exposed(ctx context.Context, namespace, ingress string) (exposed, known bool, err error)
}

// Folder is a World of YAML files, for a controller that reads a folder. Each
// namespace is a file, which is replaced whole.
type Folder string

// Apply implements World.
func (f Folder) Apply(_ context.Context, namespace string, objects []*unstructured.Unstructured) error {
	var text bytes.Buffer
	for _, object := range objects {
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return err
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	unfinished := f.file(namespace) + ".new"
	if err := os.WriteFile(unfinished, text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, f.file(namespace))
}

// Clear implements World.
func (f Folder) Clear(_ context.Context, namespace string) error {
	return os.Remove(f.file(namespace))
}

// Exposed implements World: files have no status.
func (Folder) Exposed(context.Context, string, string) (exposed, known bool, err error) {
	return false, false, nil
}

func (f Folder) file(namespace string) string {
	return filepath.Join(string(f), namespace+".yaml")
}

// Cluster is a World behind an API server.
type Cluster struct {
	client  kubernetes.Interface
	objects dynamic.Interface
	applied map[string][]*unstructured.Unstructured // by namespace
}

// NewCluster returns the World that config has access to: it must be allowed
// to create namespaces and what belongs into them.
func NewCluster(config *rest.Config) (*Cluster, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	return &Cluster{client: client, objects: objects, applied: map[string][]*unstructured.Unstructured{}}, err
}

// Apply implements World.
func (c *Cluster) Apply(ctx context.Context, namespace string, objects []*unstructured.Unstructured) error {
	if c.applied[namespace] == nil {
		_, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	keep := map[string]bool{}
	for _, object := range objects {
		keep[object.GetKind()+object.GetName()] = true
		if _, err := c.of(object).Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "conformance", Force: true}); err != nil {
			return err
		}
	}
	for _, object := range c.applied[namespace] {
		if !keep[object.GetKind()+object.GetName()] {
			if err := c.delete(ctx, object); err != nil {
				return err
			}
		}
	}
	c.applied[namespace] = objects
	return nil
}

// Clear implements World. The objects go first, since a cluster under test may
// have nobody who empties namespaces.
func (c *Cluster) Clear(ctx context.Context, namespace string) error {
	for _, object := range c.applied[namespace] {
		if err := c.delete(ctx, object); err != nil {
			return err
		}
	}
	delete(c.applied, namespace)
	return c.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
}

// Exposed implements World.
func (c *Cluster) Exposed(ctx context.Context, namespace, ingress string) (exposed, known bool, err error) {
	object, err := c.client.NetworkingV1().Ingresses(namespace).Get(ctx, ingress, metav1.GetOptions{})
	if err != nil {
		return false, true, err
	}
	for _, at := range object.Status.LoadBalancer.Ingress {
		exposed = exposed || at.IP != "" || at.Hostname != ""
	}
	return exposed, true, nil
}

func (c *Cluster) delete(ctx context.Context, object *unstructured.Unstructured) error {
	err := c.of(object).Delete(ctx, object.GetName(), metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) { // a Service takes its slices along
		return nil
	}
	return err
}

func (c *Cluster) of(object *unstructured.Unstructured) dynamic.ResourceInterface {
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	return c.objects.Resource(resource).Namespace(object.GetNamespace())
}

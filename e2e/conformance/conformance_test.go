//go:build linux

package conformance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// nowhere is a World whose controller sees nothing.
type nowhere struct{}

func (nowhere) Apply(context.Context, string, []*unstructured.Unstructured) error { return nil }
func (nowhere) Clear(context.Context, string) error                               { return nil }
func (nowhere) Exposed(context.Context, string, string) (exposed, known bool, err error) {
	return false, true, nil
}

// TestEveryFeatureCanFail: controllers that give all requests the same answer
// pass nothing.
func TestEveryFeatureCanFail(t *testing.T) {
	features, err := Features()
	if err != nil {
		t.Fatal(err)
	}
	if len(features) < 20 {
		t.Errorf("only %d features", len(features))
	}
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusServiceUnavailable} {
		controller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer controller.Close()
		address := strings.TrimPrefix(controller.URL, "http://")
		target := Target{World: nowhere{}, Class: "c", HTTP: address, HTTPS: address, Pods: "127.0.0.1", Patience: time.Millisecond}
		for _, f := range features {
			if f.Text == "" || f.Source == "" {
				t.Errorf("%s: a feature says what it is and where that is written", f.Name)
			}
			if r := target.Run(t.Context(), f); r.Err == nil {
				t.Errorf("%s passes where everything is answered with %d", f.Name, status)
			}
		}
	}
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startsVariable is how many starts TestReadyWhileTheAPIServerStarts makes, 10 without it.
const startsVariable = "USHER_E2E_STARTS"

// TestReadyWhileTheAPIServerStarts: Usher and the API server are started at the same time, again and again. When /readyz says yes,
// the Ingress is served by the settings of the ConfigMap.
func TestReadyWhileTheAPIServerStarts(t *testing.T) {
	s := newScene(t)
	s.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: usher, namespace: $system}
data: {force-ssl-redirect: "true"}`)
	s.ingress("a", `
rules:
- host: ready.example
  http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: none, port: {number: 80}}}}]}`)
	starts := 10
	if n, err := strconv.Atoi(os.Getenv(startsVariable)); err == nil {
		starts = n
	}
	for i := range starts {
		theCluster.KillAPIServer()
		started := make(chan error, 1)
		go func() { started <- theCluster.StartAPIServer(context.Background()) }()
		time.Sleep(time.Duration(i%8) * 400 * time.Millisecond) // Usher comes at each stage of the API server's start
		u := s.start("--configmap", s.system+"/usher")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+u.address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "ready.example"
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusPermanentRedirect {
			t.Errorf("start %d: %d when ready, want 308, by the Ingress and the ConfigMap\n%s", i, response.StatusCode, u.tail())
		}
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		if err := u.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestAHungAPIServerShows: the metric is 0 and the log says so within a minute; what was read goes on being served.
func TestAHungAPIServerShows(t *testing.T) {
	s := newScene(t)
	u := s.start()
	u.awaitMetric("usher_api_server_connected", 1)
	resume := theCluster.PauseAPIServer()
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := u.process.Await(ctx, func(context.Context) error {
		connected, err := u.metric("usher_api_server_connected")
		if err == nil && connected != 0 {
			err = fmt.Errorf("usher_api_server_connected is %v", connected)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(u.process.Log(), "the API server does not answer") && !strings.Contains(u.process.Log(), "the API server cannot be read") {
		t.Error("no log line says it")
	}
	resume()
	u.awaitMetric("usher_api_server_connected", 1)
	if err := u.stop(); err != nil {
		t.Error(err)
	}
}

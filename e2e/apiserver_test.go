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

// startsVariable is how many starts TestReadyWhileTheAPIServerStarts makes, 12 without it.
const startsVariable = "USHER_E2E_STARTS"

// disturbances are what the API server does while Usher starts, for a longer time at each stage. Each returns when it has begun; what
// it returns waits until the API server is whole again.
var disturbances = []func(stage time.Duration) (whole func() error){
	func(stage time.Duration) func() error { // it refuses connections and starts, and Usher comes at each stage
		theCluster.KillAPIServer()
		started := startAPIServer()
		time.Sleep(8 * stage)
		return started
	},
	func(stage time.Duration) func() error { // it hangs
		resume := theCluster.PauseAPIServer()
		ended := make(chan error, 1)
		time.AfterFunc(8*stage, func() { resume(); ended <- nil })
		return func() error { return <-ended }
	},
	func(stage time.Duration) func() error { // it is cut off while it is read
		killed := make(chan error, 1)
		time.AfterFunc(stage, func() {
			theCluster.KillAPIServer()
			killed <- startAPIServer()()
		})
		return func() error { return <-killed }
	},
}

func startAPIServer() (started func() error) {
	done := make(chan error, 1)
	go func() { done <- theCluster.StartAPIServer(context.Background()) }()
	return func() error { return <-done }
}

// TestReadyWhileTheAPIServerStarts: Usher starts while the API server starts, hangs or is cut off, again and again. When /readyz says
// yes, the Ingress is served by the settings of the ConfigMap.
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
	starts := 12
	if n, err := strconv.Atoi(os.Getenv(startsVariable)); err == nil {
		starts = n
	}
	for i := range starts {
		whole := disturbances[i%len(disturbances)](time.Duration(i/len(disturbances)%8) * 50 * time.Millisecond)
		u := s.launch("--configmap", s.system+"/usher")
		u.awaitReady(3 * time.Minute) // as long as the API server may take to start on a busy machine
		if status := u.askOnce("ready.example"); status != http.StatusPermanentRedirect {
			t.Errorf("start %d: %d when ready, want 308, by the Ingress and the ConfigMap\n%s", i, status, u.tail())
		}
		if err := whole(); err != nil {
			t.Fatal(err)
		}
		if err := u.stop(); err != nil {
			t.Error(err)
		}
	}
}

// awaitReady returns at the moment at which the replica says that it is ready.
func (u *usher) awaitReady(limit time.Duration) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), limit)
	defer cancel()
	if err := u.process.Await(ctx, u.ready); err != nil {
		u.t.Fatal(err)
	}
}

// askOnce is the status of one request, which is not made again.
func (u *usher) askOnce(host string) int {
	u.t.Helper()
	request, err := http.NewRequestWithContext(u.t.Context(), http.MethodGet, "http://"+u.address+"/", nil)
	if err != nil {
		u.t.Fatal(err)
	}
	request.Host = host
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		u.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
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

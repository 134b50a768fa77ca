package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/object"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// api plays an API server for real clients, without a network, so that time can be a bubble's. It starts: until it is up
// connections are refused, then everything is 403, then each kind is served from a time of its own.
type api struct {
	up      time.Time
	roles   time.Time            // from when it knows roles; until then 403
	ready   time.Time            // from when it says that it is ready
	from    map[string]time.Time // of each resource, from when it is listed; before that the request hangs
	denied  map[string]bool      // resources that may not be read at all
	streams bool                 // whether it has watch-lists

	mu      sync.Mutex
	hangs   bool // no request is answered any more, and no watch says anything
	asked   map[string]int
	watches []*io.PipeWriter
}

// kindsOfAPI are the resources with one object each, as JSON.
var kindsOfAPI = map[string]string{
	"ingresses":      `{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"a","namespace":"demo","resourceVersion":"1"}}`,
	"ingressclasses": `{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"name":"usher","resourceVersion":"1"}}`,
	"services":       `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"demo","resourceVersion":"1"}}`,
	"endpointslices": `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4","endpoints":[],"metadata":{"name":"a-1","namespace":"demo","resourceVersion":"1","labels":{"kubernetes.io/service-name":"a"}}}`,
	"secrets":        `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"tls","namespace":"demo","resourceVersion":"1"}}`,
	"configmaps":     `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"usher","namespace":"demo","resourceVersion":"1"},"data":{"force-ssl-redirect":"true"}}`,
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	a.mu.Lock()
	a.asked[resource]++
	hangs := a.hangs
	a.mu.Unlock()
	switch {
	case time.Now().Before(a.up):
		return nil, errors.New("connect: connection refused")
	case hangs:
		return hang(r, time.Hour)
	case time.Now().Before(a.roles) || a.denied[resource]:
		return status(r, http.StatusForbidden, "Forbidden"), nil
	case resource == "readyz":
		if time.Now().Before(a.ready) {
			return status(r, http.StatusInternalServerError, "InternalError"), nil
		}
		return answer(r, http.StatusOK, io.NopCloser(strings.NewReader("ok"))), nil
	}
	if late := time.Until(a.from[resource]); late > 0 {
		if _, err := hang(r, late); r.Context().Err() != nil {
			return nil, err
		}
	}
	if r.URL.Query().Get("watch") != "" {
		return a.watch(r, resource), nil
	}
	meta := typeOf(resource)
	list := fmt.Sprintf(`{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"1"},"items":[%s]}`, meta.Kind+"List", meta.APIVersion, kindsOfAPI[resource])
	return answer(r, http.StatusOK, io.NopCloser(strings.NewReader(list))), nil
}

func hang(r *http.Request, d time.Duration) (*http.Response, error) {
	sleep(r.Context(), d)
	return nil, context.DeadlineExceeded
}

func (a *api) watch(r *http.Request, resource string) *http.Response {
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	if initial && !a.streams {
		return status(r, http.StatusUnprocessableEntity, "Invalid")
	}
	body, w := io.Pipe()
	a.mu.Lock()
	a.watches = append(a.watches, w)
	a.mu.Unlock()
	go func() {
		if initial {
			meta := typeOf(resource)
			_, _ = fmt.Fprintf(w, "{\"type\":\"ADDED\",\"object\":%s}\n", kindsOfAPI[resource])
			_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}`+"\n", meta.APIVersion, meta.Kind)
		}
		<-r.Context().Done()
		_ = w.Close()
	}()
	return answer(r, http.StatusOK, body)
}

func typeOf(resource string) (meta metav1.TypeMeta) {
	_ = json.Unmarshal([]byte(kindsOfAPI[resource]), &meta)
	return meta
}

// cut breaks every watch off.
func (a *api) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.watches {
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
	}
	a.watches = nil
}

func (a *api) hang() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hangs = true
}

func (a *api) requests(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[resource]
}

func answer(r *http.Request, code int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Request: r}
}

func status(r *http.Request, code int, reason string) *http.Response {
	text := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`, reason, code, reason)
	return answer(r, code, io.NopCloser(bytes.NewBufferString(text)))
}

// starting is a Cluster over an api, in a bubble of time.
func (a *api) starting(t *testing.T, o ClusterOptions) *Cluster {
	t.Helper()
	a.asked = map[string]int{}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api.example", Transport: a, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	o.Client = client
	o.ConfigMaps = []object.Key{demo("usher")}
	c := NewCluster(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	return c
}

// inBubble runs a test in a bubble of time. client-go's limit of error reports is left out, as it goes by the time outside of it.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil
	defer func() { utilruntime.ErrorHandlers = handlers }()
	synctest.Test(t, test)
}

// TestReadyMeansEverythingWasRead: 200 starts while the API server starts, with connections refused, then 403 for everything, then
// kinds that arrive late in every order. The first Snapshot has all there is.
func TestReadyMeansEverythingWasRead(t *testing.T) {
	for seed := range uint64(200) {
		inBubble(t, func(t *testing.T) { startOnce(t, rand.New(rand.NewPCG(seed, 19))) })
	}
}

func startOnce(t *testing.T, random *rand.Rand) {
	within := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	now := time.Now()
	a := &api{up: now.Add(within(3 * time.Second)), from: map[string]time.Time{}, streams: random.IntN(2) == 0}
	a.roles = a.up.Add(within(20 * time.Second))
	a.ready = a.roles.Add(within(5 * time.Second))
	resources := make([]string, 0, len(kindsOfAPI))
	for r := range kindsOfAPI {
		resources = append(resources, r)
	}
	slices.Sort(resources)
	random.Shuffle(len(resources), func(i, j int) { resources[i], resources[j] = resources[j], resources[i] })
	for i, r := range resources {
		a.from[r] = a.roles.Add(time.Duration(i+1) * within(time.Second))
	}
	c := a.starting(t, ClusterOptions{})
	<-c.Changed()
	s, ok := c.Snapshot()
	if !ok || len(s.Ingresses) != 1 || len(s.IngressClasses) != 1 || len(s.Services) != 1 || len(s.EndpointSlices.Of(demo("a"))) != 1 ||
		len(s.Secrets) != 1 || len(s.ConfigMaps) != 1 || len(s.Unread) != 0 {
		t.Errorf("up after %v, roles after %v, in the order %v: ready with %+v", a.up.Sub(now), a.roles.Sub(now), resources, s)
	}
	if took := time.Since(a.roles); took > 15*time.Second {
		t.Errorf("ready %v after the API server knew its roles", took)
	}
	if missing := c.Missing(); len(missing) > 0 {
		t.Errorf("missing %v", missing)
	}
}

// TestAHungAPIServerIsNoticed: within 60 s of silence, whether its watches hang or are cut off, and in 200 starts.
func TestAHungAPIServerIsNoticed(t *testing.T) {
	for seed := range uint64(200) {
		inBubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 20))
			a, o := &api{streams: seed%2 == 0}, newObserver()
			a.starting(t, ClusterOptions{Observer: o})
			if !<-o.told {
				t.Fatal("not connected")
			}
			time.Sleep(time.Duration(random.Int64N(int64(time.Minute))))
			a.hang()
			if seed%4 < 2 {
				a.cut()
			}
			select {
			case connected := <-o.told:
				if connected {
					t.Error("connected again")
				}
			case <-time.After(time.Minute):
				t.Error("still connected a minute after the API server fell silent")
			}
		})
	}
}

// TestARefusalIsBelieved, and done without, once the API server says that it is ready; then it is asked once a minute. A ConfigMap
// that a flag names is waited for.
func TestARefusalIsBelieved(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newObserver()
		a := &api{denied: map[string]bool{"ingressclasses": true}}
		c := a.starting(t, ClusterOptions{Observer: o})
		<-c.Changed()
		s, _ := c.Snapshot()
		if why := s.Absent(object.IngressClass, object.Key{Name: "usher"}); !strings.Contains(why, "may not be read") || !c.Connected() || o.refusals("IngressClass") != 1 {
			t.Errorf("absent: %q, connected %v, refused %d", why, c.Connected(), o.refusals("IngressClass"))
		}
		before := a.requests("ingressclasses")
		time.Sleep(10 * time.Minute)
		if n := a.requests("ingressclasses") - before; n < 9 || n > 11 {
			t.Errorf("%d requests in 10 minutes, want one a minute", n)
		}
	})
	inBubble(t, func(t *testing.T) {
		a := &api{denied: map[string]bool{"configmaps": true}}
		c := a.starting(t, ClusterOptions{})
		time.Sleep(10 * time.Minute)
		if _, ok := c.Snapshot(); ok || c.Connected() {
			t.Errorf("ready %v, connected %v without the ConfigMap of a flag", ok, c.Connected())
		}
		if m := c.Missing(); len(m) != 1 || !strings.Contains(m[0], "ConfigMap demo/usher: ") {
			t.Errorf("missing %v", m)
		}
	})
}

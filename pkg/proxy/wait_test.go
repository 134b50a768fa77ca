package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/route"
)

// unread is a body that may not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of a request that waits is read")
	return 0, errors.New("unwanted")
}

// TestWaitingIsBounded: when as many requests wait as may, the next one is answered at once. One that waits holds nothing of its body,
// and gives its place back when its client leaves or its time is over.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := policy.Default()
		set.Overload.WaitForEndpoints = 10 * time.Second
		rt := &route.Route{Host: "app.test", Path: "/", Type: route.Prefix, Policy: set}
		live := &route.Live{}
		table := &route.Table{Policy: set, Backends: []*route.Backend{{Name: "demo/app:80", Reason: policy.NoReadyEndpoints}},
			Hosts: route.NewHosts([]*route.Host{{Name: "app.test", Paths: route.NewPaths([]*route.Route{rt})}})}
		connections := pool.New(pool.Options{})
		defer connections.Close()
		p := New(Options{Tables: live, Pool: connections})
		p.Prepare(table)
		live.Swap(table)
		ask := func(ctx context.Context) (*httptest.ResponseRecorder, chan struct{}) {
			w, done := httptest.NewRecorder(), make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }() // http.ErrAbortHandler, when the client has left
				request := httptest.NewRequest(http.MethodPost, "http://app.test/", unread{t}).WithContext(ctx)
				p.ServeHTTP(w, request)
			}()
			synctest.Wait()
			return w, done
		}
		p.parked.Store(parkedLimit - 1)
		ctx, leave := context.WithCancel(t.Context())
		_, gone := ask(ctx)
		w, done := ask(t.Context())
		<-done
		if w.Code != 503 || !strings.Contains(w.Header().Get("X-Usher-Reason"), string(policy.NoReadyEndpoints)) {
			t.Errorf("one more than may wait got %d %v", w.Code, w.Header())
		}
		leave()
		<-gone
		begin := time.Now()
		w, done = ask(t.Context())
		<-done
		if took := time.Since(begin); took != 10*time.Second || w.Code != 503 {
			t.Errorf("waited %v, then got %d", took, w.Code)
		}
		if n := p.parked.Load(); n != parkedLimit-1 {
			t.Errorf("%d places are taken, want %d", n, parkedLimit-1)
		}
	})
}

// TestRoomForCopies: bodies that are kept for mirroring share a bound, which is given back.
func TestRoomForCopies(t *testing.T) {
	p := New(Options{Tables: &route.Live{}, Pool: pool.New(pool.Options{})})
	begin := func(length int64) *exchange {
		x := newExchange(p)
		x.body = &clientBody{length: length}
		set := policy.Default()
		policyOf, problems := policy.Parse(set, policy.Input{Prefixes: []string{"u/"}, Values: map[string]string{"u/mirror-target": "http://copies.test"}})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		x.Set = policyOf
		x.keepCopy()
		return x
	}
	if x := begin(mirrorBody + 1); x.body.copied != nil || x.copied != 0 {
		t.Error("a body that is too large is kept")
	}
	var held []*exchange
	for n := int64(0); n < mirrorMemory; n += mirrorBody {
		held = append(held, begin(-1)) // of unknown length
	}
	if x := held[len(held)-1]; x.body.copied == nil || p.copied.Load() != mirrorMemory {
		t.Errorf("%d bytes of room are taken", p.copied.Load())
	}
	if x := begin(1); x.body.copied != nil {
		t.Error("there is no room, and a body is kept")
	}
	for _, x := range held {
		x.letGo()
	}
	if x := begin(mirrorBody); x.body.copied == nil || p.copied.Load() != mirrorBody {
		t.Errorf("room was not given back: %d", p.copied.Load())
	}
}

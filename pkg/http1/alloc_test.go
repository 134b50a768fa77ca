package http1

import (
	"net/http"
	"testing"
)

// The budget of a proxied keep-alive request in steady state: one string for
// each of the two heads, and the response with its body.
const allocationBudget = 3

func TestAllocationsOfAProxiedRequest(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tr := &Transport{Dial: dialTo(rawUpstream(t, smallResponse))}
	t.Cleanup(func() { _ = tr.Close() })
	conn := connect(t, serve(t, &Server{Handler: proxyHandler(tr), MaxRequests: -1}))
	request, scratch := []byte(small), make([]byte, 4096)
	got := testing.AllocsPerRun(2000, func() {
		if err := exchangeOnce(conn, request, scratch); err != nil {
			t.Fatal(err)
		}
	})
	if got > allocationBudget {
		t.Errorf("%v allocations for a proxied request, want at most %d", got, allocationBudget)
	}
}

func TestAllocationsOfAServedRequest(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	text := []byte("hello")
	kind := []string{"text/plain"}
	conn := connect(t, serve(t, &Server{MaxRequests: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = kind
		_, _ = w.Write(text)
	})}))
	request, scratch := []byte(small), make([]byte, 4096)
	got := testing.AllocsPerRun(2000, func() {
		if err := exchangeOnce(conn, request, scratch); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1 {
		t.Errorf("%v allocations for a served request, want the string of its head", got)
	}
}

package metrics

import (
	"testing"
	"time"
)

func shopRequest() *Request {
	return &Request{
		Route:  Route{Namespace: "demo", Ingress: "shop", Service: "cart", Host: "shop.example.com"},
		Method: "GET", Status: 200, Duration: 3 * time.Millisecond, Upstream: 2 * time.Millisecond, Sent: 1234,
	}
}

func TestRequestDoesNotAllocate(t *testing.T) {
	m := New(Build{})
	r := shopRequest()
	m.Request(r)
	if n := testing.AllocsPerRun(100, func() { m.Request(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	m := New(Build{})
	r := shopRequest()
	b.ReportAllocs()
	for b.Loop() {
		m.Request(r)
	}
}

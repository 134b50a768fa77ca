package object

import (
	"fmt"
	"maps"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestEndpointSlices(t *testing.T) {
	var e EndpointSlices
	want := map[Key][]*discoveryv1.EndpointSlice{}
	for i := range 5000 {
		key := Key{"demo", fmt.Sprint("service-", i)}
		want[key] = []*discoveryv1.EndpointSlice{{}}
		e.Set(key, want[key])
	}
	copied, key := e, Key{"demo", "service-7"}
	e.Set(key, nil)
	e.Set(Key{"demo", "service-8"}, []*discoveryv1.EndpointSlice{{}, {}})
	same := func(a, b []*discoveryv1.EndpointSlice) bool { return len(a) == len(b) && a[0] == b[0] }
	if got := maps.Collect(copied.All()); !maps.EqualFunc(got, want, same) {
		t.Error("a copy was written")
	}
	if e.Of(key) != nil || len(e.Of(Key{"demo", "service-8"})) != 2 || len(maps.Collect(e.All())) != 4999 {
		t.Error("it was not changed")
	}
}

// BenchmarkSet changes one Service among 20,000.
func BenchmarkSet(b *testing.B) {
	var e EndpointSlices
	group := []*discoveryv1.EndpointSlice{{}}
	for i := range 20_000 {
		e.Set(Key{"demo", fmt.Sprint("service-", i)}, group)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Set(Key{"demo", "service-7"}, group)
	}
}

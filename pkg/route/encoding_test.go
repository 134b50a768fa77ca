package route_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/route"
)

// TestEncodingsOfAGuardedPath: whatever an endpoint that decodes once reads as a guarded path, or as something below it, went through
// the guard's route, however the client wrote it.
func TestEncodingsOfAGuardedPath(t *testing.T) {
	const guarded = "/admin/ü"
	host := &route.Host{Name: "a.test"}
	host.Paths = route.NewPaths([]*route.Route{{Path: "/", Type: route.Prefix}, {Path: "/x", Type: route.Prefix}, {Path: guarded, Type: route.Prefix}})
	table := &route.Table{Hosts: route.NewHosts([]*route.Host{host})}
	random := rand.New(rand.NewPCG(1, 2))
	below := 0
	for range 100_000 {
		target := encoding(random, guarded)
		read, ok := endpointReads(target)
		normal, err := route.Normalize(target)
		if !ok || err != nil {
			if ok && isBelow(read, guarded) && !strings.Contains(target, "..") && !strings.Contains(strings.ToLower(target), "%2e") {
				t.Fatalf("%q is refused: %v", target, err)
			}
			continue // a request that is refused reaches no endpoint
		}
		took := table.Lookup(route.Query{Host: "a.test", Path: normal}).Route.Path
		if isBelow(read, guarded) != (took == guarded) {
			t.Fatalf("%q: an endpoint reads %q, and the route is %s", target, read, took)
		}
		if took == guarded {
			below++
		}
	}
	if below < 20_000 {
		t.Errorf("only %d of 100,000 targets were at or below %s", below, guarded)
	}
}

// endpointReads is how an application understands a target: decoded once, then cleaned.
func endpointReads(target string) (string, bool) {
	text, err := url.PathUnescape(target)
	return path.Clean(text), err == nil
}

func isBelow(read, guarded string) bool {
	return read == guarded || strings.HasPrefix(read, guarded+"/")
}

// encoding writes a path in one of the many ways that mean the same, or nearly so, with detours.
func encoding(random *rand.Rand, guarded string) string {
	detours := []string{"/", "//", "/./", "/x/../", "/x/..%2F", "/%2e/", "/%2E%2e/", "/../", "/;/", "/x;", `/\`, "/%5C", "/%252F", "/%252e%252e/", "/é/../", "/%C3%A9/..%2f"}
	var b strings.Builder
	pick := func() string { return detours[random.IntN(len(detours))] }
	for i, element := range strings.Split(guarded, "/") {
		if i == 0 {
			b.WriteString("/")
		}
		if random.IntN(6) == 0 {
			b.WriteString(pick())
		}
		if i > 0 {
			b.WriteString(respelled(random, element))
			b.WriteString([]string{"/", "/", "//", "%2F", "%2f", "/.//", "/%2E/"}[random.IntN(7)])
		}
	}
	if random.IntN(3) == 0 {
		b.WriteString(pick() + "users")
	}
	return b.String()
}

// respelled encodes some bytes, with hex digits in either case.
func respelled(random *rand.Rand, text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch random.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "%%%02x", text[i])
		case 1:
			fmt.Fprintf(&b, "%%%02X", text[i])
		default:
			b.WriteByte(text[i])
		}
		if random.IntN(60) == 0 {
			fmt.Fprintf(&b, "%%25%02x", text[i])
		}
	}
	return b.String()
}

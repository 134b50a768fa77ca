package route_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

func ExampleTable_Print() {
	base := policy.Default()
	shop := policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "shop"}
	at := func(field string) policy.Origin { return policy.Origin{Object: shop, Field: field} }
	plain, _ := policy.Parse(base, policy.Input{
		Object: shop, Prefixes: []string{"usher.dev/"}, Values: map[string]string{"usher.dev/ssl-redirect": "false"},
	})
	host := &route.Host{Name: "shop.example.com", TLS: true, Paths: route.NewPaths([]*route.Route{
		{Path: "/cart", Type: route.Exact, Origin: at("spec.rules[0].http.paths[0]"), Policy: base},
		{Path: "/", Type: route.Prefix, Origin: at("spec.rules[0].http.paths[1]"), Policy: plain, Backend: 1,
			Shadowed: []policy.Origin{{Object: policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "new"}, Field: "spec.rules[0].http.paths[0]"}}},
	})}
	table := &route.Table{
		Policy: base,
		Hosts:  route.NewHosts([]*route.Host{host}),
		Backends: []*route.Backend{
			{Name: "demo/cart:80", Endpoints: []route.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:8080")}, {Addr: netip.MustParseAddrPort("10.0.0.2:8080")}}},
			{Name: "demo/web:80", Reason: policy.NoEndpoints, Detail: "Service demo/web has no endpoints: its selector app=web matches no running Pod"},
		},
		Certificates: &route.Certificates{},
	}
	table.Certificates.Add("shop.example.com", &route.Certificate{Secret: policy.Ref{Kind: "Secret", Namespace: "demo", Name: "shop-tls"}})
	table.Print(os.Stdout)
	// Output:
	// host shop.example.com, TLS
	//   Exact  /cart  -> demo/cart:80  by Ingress demo/shop spec.rules[0].http.paths[0]
	//   Prefix /  -> demo/web:80  by Ingress demo/shop spec.rules[0].http.paths[1]  ssl-redirect=false
	//          instead of Ingress demo/new spec.rules[0].http.paths[0]
	// backend demo/cart:80  10.0.0.1:8080 10.0.0.2:8080
	// backend demo/web:80  503 no-endpoints: Service demo/web has no endpoints: its selector app=web matches no running Pod
	// certificate shop.example.com  Secret demo/shop-tls (no key)
}

func TestPrintOfTheZeroTable(t *testing.T) {
	if got := new(route.Table).String(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestCertificates(t *testing.T) {
	exact, wildcard, fallback := &route.Certificate{}, &route.Certificate{}, &route.Certificate{}
	var c route.Certificates
	c.Add("shop.example.com", exact)
	c.Add("*.example.com", wildcard)
	c.Add("*.example.com", exact)
	c.Default = fallback
	for name, want := range map[string]int{"shop.example.com": 1, "www.example.com": 2, "example.com": 0, "a.b.example.com": 0, "": 0} {
		if got := c.Find(name); len(got) != want {
			t.Errorf("Find(%q) gives %d certificates, want %d", name, len(got), want)
		}
	}
	if got := c.Find("www.example.com"); got[0] != wildcard || got[1] != exact {
		t.Error("certificates of a name are not in the order they were added")
	}
	if got := len(c.All()); got != 3 {
		t.Errorf("All gives %d certificates, want 3", got)
	}
	clone := c.Clone()
	clone.Set("shop.example.com", nil)
	clone.Add("*.example.com", fallback)
	if len(c.Find("shop.example.com")) != 1 || len(c.Find("www.example.com")) != 2 || len(clone.Find("shop.example.com")) != 3 {
		t.Error("a clone and its original share what was changed")
	}
	if got := fmt.Sprint(c.Names(), clone.Names()); got != "[*.example.com shop.example.com] [*.example.com]" {
		t.Errorf("names %s", got)
	}
}

// TestCertificatesOfNone: nil is no certificates.
func TestCertificatesOfNone(t *testing.T) {
	var none *route.Certificates
	if none.Find("a") != nil || none.All() != nil || none.Names() != nil || none.For("a") != nil {
		t.Error("nil has certificates")
	}
}

// TestManyCertificates: adding names costs the same memory for each, however many there are.
func TestManyCertificates(t *testing.T) {
	var c route.Certificates
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 100000 {
		c.Add(fmt.Sprintf("h%d.example.com", i), &route.Certificate{})
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100000; each > 2000 || len(c.All()) != 100000 {
		t.Errorf("%d certificates took %d bytes each", len(c.All()), each)
	}
}

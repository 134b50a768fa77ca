package decide

import (
	"net/netip"
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/policy"
)

// Forwarded is what proxies in front of us say about the client. Everything is empty unless the peer is trusted.
type Forwarded struct {
	Trusted bool
	Whole   bool   // all that it says is believed, not the address alone
	Proto   string // X-Forwarded-Proto as it came
	Host    string
	Port    string
}

// defaults are the settings before the first table. Never written.
var defaults = policy.Default()

// client finds out who is asking: the address, and as what they see this request (scheme and host).
//
// As in ingress-nginx the route is found by Host; a trusted X-Forwarded-Host is the host in redirects and the one sent upstream.
func (d *Decision) client() bool {
	r := d.Request
	if d.Set = defaults; d.Table != nil && d.Table.Policy != nil {
		d.Set = d.Table.Policy
	}
	if !r.Parsed {
		r.Header = field.Served(r.Header, d.Set.Headers.KeepUnderscores)
	}
	d.Client, d.Host = r.Peer, r.Host
	d.believe(&d.Set.Forwarded)
	if d.Forwarded.Host != "" {
		d.Host = d.Forwarded.Host
	}
	d.Ask = policy.Request{Method: r.Method, Scheme: d.scheme(), TLS: r.TLS, Host: NormalHost(d.Host), Target: Encoded(TargetOf(r.Target))}
	d.Ask.Named = d.Ask.Host
	if d.Forwarded.Host != "" {
		d.Ask.Named = NormalHost(r.Host)
	}
	d.ID = first(r.Header["X-Request-Id"])
	if d.ID == "" && d.Set.Forwarded.GenerateRequest {
		d.ID = d.env.NewID()
	}
	return d.Table == nil && d.fail(policy.NotReady)
}

// believe reads the forwarded headers of a trusted peer.
func (d *Decision) believe(f *policy.Forwarded) {
	if !f.Use && !f.RealIP {
		return
	}
	addr, err := netip.ParseAddr(d.Request.Peer)
	if err != nil || !f.Trusts(addr) {
		return
	}
	d.Forwarded.Trusted = true
	h := d.Request.Header
	if client := f.ClientOf(joined(h[f.Header])); client.IsValid() {
		d.Client = client.String()
	}
	if !f.Use {
		return
	}
	d.Forwarded.Whole = true
	d.Forwarded.Proto = firstItem(h["X-Forwarded-Proto"])
	d.Forwarded.Host = firstItem(h["X-Forwarded-Host"])
	if port := firstItem(h["X-Forwarded-Port"]); isDigits(port) {
		d.Forwarded.Port = port
	}
}

// scheme is what the client used: "http" or "https".
func (d *Decision) scheme() string {
	switch proto := d.Forwarded.Proto; {
	case strings.EqualFold(proto, "https"), strings.EqualFold(proto, "wss"):
		return "https"
	case strings.EqualFold(proto, "http"), strings.EqualFold(proto, "ws"):
		return "http"
	case d.Request.TLS, d.Set.Forwarded.ProxyProtocol && d.env.LocalPort() == httpsPort:
		return "https"
	}
	return "http"
}

// httpsPort is where a load balancer ends TLS that tells us of it by PROXY protocol only: as in ingress-nginx, a client that connected
// to its port 443 uses HTTPS.
const httpsPort = 443

// firstItem is the first item of the first line of a list.
func firstItem(values []string) string {
	item, _, _ := strings.Cut(first(values), ",")
	return strings.TrimSpace(item)
}

// joined makes one list of several lines (RFC 9110 section 5.3).
func joined(values []string) string {
	if len(values) < 2 {
		return first(values)
	}
	return strings.Join(values, ", ")
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

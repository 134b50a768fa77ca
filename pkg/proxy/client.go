package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
)

// forwarded is what proxies in front of us say about the client. Everything is empty unless the peer is trusted.
type forwarded struct {
	trusted bool
	whole   bool   // all that it says is believed, not the address alone
	proto   string // X-Forwarded-Proto as it came
	host    string
	port    string
}

// client finds out who is asking: the address, and as what they see this request (scheme and host).
//
// As in ingress-nginx the route is found by Host; a trusted X-Forwarded-Host is the host in redirects and the one sent upstream.
func (x *exchange) client() bool {
	x.table = x.proxy.tables.Load()
	if x.table != nil && x.table.Policy != nil {
		x.set = x.table.Policy
	}
	peer := addressOf(x.r.RemoteAddr)
	x.record.Client = peer
	x.believe(&x.set.Forwarded, peer)
	x.host = x.r.Host
	if x.forwarded.host != "" {
		x.host = x.forwarded.host
	}
	x.ask = policy.Request{Method: x.r.Method, Scheme: x.scheme(), Host: normalHost(x.host), Target: encoded(targetOf(x.r.RequestURI))}
	x.record.Scheme, x.record.Host, x.record.Target = x.ask.Scheme, x.ask.Host, x.ask.Target
	x.record.ID = first(x.r.Header["X-Request-Id"])
	if x.record.ID == "" && x.set.Forwarded.GenerateRequest {
		x.record.ID = x.ids.next()
	}
	if x.table == nil {
		return x.fail(policy.NotReady)
	}
	return false
}

// believe reads the forwarded headers of a trusted peer.
func (x *exchange) believe(f *policy.Forwarded, peer string) {
	if !f.Use && !f.RealIP {
		return
	}
	addr, err := netip.ParseAddr(peer)
	if err != nil || !f.Trusts(addr) {
		return
	}
	x.forwarded.trusted = true
	h := x.r.Header
	if client := f.ClientOf(joined(h[f.Header])); client.IsValid() {
		x.record.Client = client.String()
	}
	if !f.Use {
		return
	}
	x.forwarded.whole = true
	x.forwarded.proto = firstItem(h["X-Forwarded-Proto"])
	x.forwarded.host = firstItem(h["X-Forwarded-Host"])
	if port := firstItem(h["X-Forwarded-Port"]); isDigits(port) {
		x.forwarded.port = port
	}
}

// scheme is what the client used: "http" or "https".
func (x *exchange) scheme() string {
	switch {
	case strings.EqualFold(x.forwarded.proto, "https"), strings.EqualFold(x.forwarded.proto, "wss"):
		return "https"
	case strings.EqualFold(x.forwarded.proto, "http"), strings.EqualFold(x.forwarded.proto, "ws"):
		return "http"
	case x.r.TLS != nil, x.set.Forwarded.ProxyProtocol && x.connectedTo() == httpsPort:
		return "https"
	}
	return "http"
}

// httpsPort is where a load balancer ends TLS that tells us of it by PROXY protocol only: as in ingress-nginx, a client that connected
// to its port 443 uses HTTPS.
const httpsPort = 443

// connectedTo is the port that the client connected to, in PROXY protocol's word.
func (x *exchange) connectedTo() int {
	if local, ok := x.r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return local.Port
	}
	return 0
}

// addressOf cuts the port, and the zone, off "ip:port".
func addressOf(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		remote = remote[:i]
	}
	if remote != "" && remote[0] == '[' {
		remote = strings.TrimSuffix(remote[1:], "]")
		remote, _, _ = strings.Cut(remote, "%")
	}
	return remote
}

// hostAsked is the host that the request is routed by: of Host, whatever a proxy in front of us says.
func (x *exchange) hostAsked() string {
	if x.forwarded.host == "" {
		return x.ask.Host
	}
	return normalHost(x.r.Host)
}

// normalHost gives the form in which hosts are looked up: lower case, without port and trailing dot. An IPv6 address keeps its
// brackets. It does not allocate for a host that is in that form already.
func normalHost(host string) string {
	if host == "" {
		return ""
	}
	if host[0] == '[' {
		if i := strings.IndexByte(host, ']'); i > 0 {
			host = host[:i+1]
		}
		return strings.ToLower(host)
	}
	upper := false
	for i := 0; i < len(host); i++ {
		if host[i] == ':' {
			host = host[:i]
			break
		}
		upper = upper || host[i]-'A' < 26 || host[i] >= 0x80
	}
	host = strings.TrimSuffix(host, ".")
	if upper {
		return strings.ToLower(host)
	}
	return host
}

// targetOf gives path and query of a request target exactly as sent: of origin-form all of it, of absolute-form what follows the
// authority (RFC 9112 section 3.2).
func targetOf(uri string) string {
	if uri == "" || uri[0] == '/' || uri == "*" {
		return uri
	}
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return uri
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// encoded is a target with its bytes above 0x7F percent-encoded, which RFC 3986 wants and clients leave out.
func encoded(target string) string {
	for i := 0; i < len(target); i++ {
		if target[i] >= 0x80 {
			return encodeFrom(target, i)
		}
	}
	return target
}

func encodeFrom(target string, i int) string {
	const hex = "0123456789ABCDEF"
	b := append(make([]byte, 0, 3*len(target)), target[:i]...)
	for ; i < len(target); i++ {
		if c := target[i]; c < 0x80 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// ids makes request ids: 128 random bits in hex, as nginx's. They are no secret, so a generator of each exchange, seeded with real
// chance, will do; it costs a tenth of the runtime's.
type ids struct{ random rand.PCG }

func newIDs() ids {
	return ids{*rand.NewPCG(rand.Uint64(), rand.Uint64())} //nolint:gosec // see ids
}

func (i *ids) next() string {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], i.random.Uint64())
	binary.NativeEndian.PutUint64(bits[8:], i.random.Uint64())
	var text [32]byte
	hex.Encode(text[:], bits[:])
	return string(text[:])
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

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

// cookies are all Cookie fields as one. HTTP/2 clients may send each cookie in a field of its own (RFC 9113 section 8.2.3).
func cookies(h http.Header) string {
	if values := h["Cookie"]; len(values) > 1 {
		return strings.Join(values, "; ")
	}
	return first(h["Cookie"])
}

// fields are header fields as a canary's rules read them: all of one name as one.
type fields http.Header

// Get implements policy.Fields; name is canonical.
func (f fields) Get(name string) string {
	if name == "Cookie" {
		return cookies(http.Header(f))
	}
	return joined(f[name])
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

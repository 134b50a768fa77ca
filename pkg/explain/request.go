package explain

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"time"
)

// Request describes a request that need not exist.
type Request struct {
	Method string      // "" is GET
	URL    string      // as one would give it to curl; without a scheme it is http
	Header http.Header // a Host field wins over the URL's host, as with curl
	// Client is the address the connection comes from; 192.0.2.1 (an address of nobody, RFC 5737) when it is not given.
	Client netip.Addr
	// Now is what the validity of certificates is judged against; zero leaves it unjudged.
	Now time.Time
}

// Parse makes a Request of what a person types: a method, a URL, and header fields as "Name: value".
func Parse(method, target string, fields []string) (Request, error) {
	r := Request{Method: method, URL: target, Header: http.Header{}}
	for _, f := range fields {
		name, value, ok := strings.Cut(f, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return r, fmt.Errorf("header %q: want 'Name: value'", f)
		}
		r.Header.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	_, err := r.parse()
	return r, err
}

// The query parameters of /debug/explain.
const (
	paramMethod = "method"
	paramURL    = "url"
	paramHeader = "header"
	paramClient = "client"
)

// Query is r as the query of /debug/explain. ParseQuery reads it.
func (r Request) Query() url.Values {
	q := url.Values{paramURL: {r.URL}}
	if r.Method != "" {
		q.Set(paramMethod, r.Method)
	}
	for name, values := range r.Header {
		for _, v := range values {
			q.Add(paramHeader, name+": "+v)
		}
	}
	if r.Client.IsValid() {
		q.Set(paramClient, r.Client.String())
	}
	return q
}

// ParseQuery reads the query of /debug/explain: url, and optionally method, client and any number of header ("Name: value").
func ParseQuery(q url.Values) (Request, error) {
	if q.Get(paramURL) == "" {
		return Request{}, fmt.Errorf("parameter url is missing: want /debug/explain?url=https://host/path, optionally &method=, &header=Name: value, &client=ADDRESS")
	}
	r, err := Parse(q.Get(paramMethod), q.Get(paramURL), q[paramHeader])
	if err != nil {
		return r, err
	}
	if c := q.Get(paramClient); c != "" {
		if r.Client, err = netip.ParseAddr(c); err != nil {
			return r, fmt.Errorf("parameter client %q: want an IP address", c)
		}
	}
	return r, nil
}

// parsed is a Request as the front of the proxy understands it.
type parsed struct {
	method string
	scheme string // as the client used it, as far as Usher believes
	tls    bool   // the connection itself is TLS
	server string // the name in the handshake then
	host   string // the name routes are looked up by: lower case, no port
	seen   string // Host as the client sent it to whoever is in front of us; goes to redirects and upstream
	target string // path and query
	path   string // path as sent
	header http.Header
	peer   netip.Addr
	client netip.Addr
	now    time.Time
}

func (r Request) parse() (*parsed, error) {
	text := r.URL
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("URL %q: %w", r.URL, err)
	}
	if u.Scheme = strings.ToLower(u.Scheme); u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("URL %q: want http://HOST/PATH or https://HOST/PATH", r.URL)
	}
	p := &parsed{method: strings.ToUpper(r.Method), scheme: u.Scheme, tls: u.Scheme == "https", header: r.Header, peer: r.Client, now: r.Now}
	if p.method == "" {
		p.method = http.MethodGet
	}
	if !p.peer.IsValid() {
		p.peer = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	}
	p.client = p.peer
	p.server, p.seen = bareHost(u.Host), u.Host
	if h := r.Header.Get("Host"); h != "" {
		p.seen = h
	}
	p.host = bareHost(p.seen)
	p.path = sentPath(text)
	p.target = p.path
	if u.RawQuery != "" {
		p.target += "?" + u.RawQuery
	}
	return p, nil
}

// sentPath is the path of a URL exactly as written, so that Normalize sees the escapes and dots a client would send.
func sentPath(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// bareHost is a Host value without its port, in lower case and without the dot of a fully qualified name. An IPv6 address keeps its
// brackets.
func bareHost(host string) string {
	if end := strings.IndexByte(host, ']'); end > 0 {
		return strings.ToLower(host[:end+1])
	}
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

package explain

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
)

// Request describes a request that need not exist.
type Request struct {
	Method string      // "" is GET
	URL    string      // as one would give it to curl; without a scheme it is http
	Header http.Header // a Host field wins over the URL's host, as with curl
	// Client is the address the connection comes from; 192.0.2.1 (an address of nobody, RFC 5737) when it is not given.
	Client netip.Addr
	// Shown are the certificates that the client shows, its own first. None, where it is not nil, is a client that shows none; nil is one
	// whose certificate passes.
	Shown []*x509.Certificate
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
	paramCert   = "cert"
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
	if r.Shown != nil {
		q.Set(paramCert, shownText(r.Shown))
	}
	return q
}

// ParseQuery reads the query of /debug/explain: url, and optionally method, client, cert (see Show) and any number of header ("Name: value").
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
	if text := q.Get(paramCert); text != "" {
		if err := r.Show(text); err != nil {
			return r, fmt.Errorf("parameter cert: %w", err)
		}
	}
	return r, nil
}

// noneShown stands for a client that shows no certificate.
const noneShown = "none"

// Show sets Shown to the certificates of a PEM text, or to none for "none".
func (r *Request) Show(text string) error {
	r.Shown = []*x509.Certificate{}
	if text == noneShown {
		return nil
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("want certificates in PEM: %w", err)
		}
		r.Shown = append(r.Shown, c)
	}
	if len(r.Shown) == 0 {
		return fmt.Errorf("want certificates in PEM, or %s", noneShown)
	}
	return nil
}

func shownText(shown []*x509.Certificate) string {
	if len(shown) == 0 {
		return noneShown
	}
	var b strings.Builder
	for _, c := range shown {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

// asked is a Request as a server would read it.
type asked struct {
	request decide.Request
	shown   []*x509.Certificate
	now     time.Time
	counts  bool // the client is counted against a limit
}

// server is the name in the TLS handshake, in lower case.
func (a *asked) server() string { return a.request.ServerName }

// parse reads the URL as it is written, so that escapes, dots and a bare "?" are what a client would send.
func (r Request) parse() (*asked, error) {
	scheme, rest, ok := strings.Cut(r.URL, "://")
	if !ok {
		scheme, rest = "http", r.URL
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, target = rest[:i], rest[i:]
	}
	if target[0] == '?' {
		target = "/" + target
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" || authority == "" {
		return nil, fmt.Errorf("URL %q: want http://HOST/PATH or https://HOST/PATH", r.URL)
	}
	a := &asked{shown: r.Shown, now: r.Now, request: decide.Request{
		Method: r.Method, Proto: 1, Host: authority, Target: target, Header: maps.Clone(r.Header), Peer: "192.0.2.1", TLS: scheme == "https",
	}}
	q := &a.request
	if q.Method == "" {
		q.Method = http.MethodGet
	}
	if r.Client.IsValid() {
		q.Peer = r.Client.Unmap().WithZone("").String()
	}
	if q.TLS {
		q.ServerName = decide.NormalHost(authority)
	}
	if h := r.Header.Get("Host"); h != "" {
		q.Host = h
	}
	delete(q.Header, "Host")
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil {
		q.Length = n
	}
	return a, nil
}

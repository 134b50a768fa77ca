package decide

import (
	"strings"

	"github.com/usher-ingress/usher/pkg/field"
	"github.com/usher-ingress/usher/pkg/policy"
)

// Edits are what becomes of the client's header fields on their way: those of Remove go, those of Replace get one value, and those of
// Add come besides what is there, in this order.
type Edits struct {
	Remove       []string
	Replace, Add []field.Field
}

func (e *Edits) replace(name, value string) {
	e.Replace = append(e.Replace, field.Field{Name: name, Value: value})
}

func (e *Edits) add(name, value string) { e.Add = append(e.Add, field.Field{Name: name, Value: value}) }

func (e *Edits) remove(name string) { e.Remove = append(e.Remove, name) }

// empty is the room of e, in which nothing of a request stays.
func (e Edits) empty() Edits { return Edits{emptied(e.Remove), emptied(e.Replace), emptied(e.Add)} }

func emptied[T any](s []T) []T {
	if len(s) > 0 {
		clear(s)
	}
	return s[:0]
}

// Web is how the client of a request speaks gRPC-Web; the zero value: it does not.
type Web struct {
	On   bool
	Text bool // in base64
}

// webType is what gRPC-Web's content types begin with.
const webType = "application/grpc-web"

// headers finds what becomes of the client's fields.
func (d *Decision) headers() bool {
	if d.Forwarded.Host != "" {
		if err := field.CheckSentHost(d.TargetHost()); err != nil {
			d.Answer.Detail = err.Error()
			return d.fail(policy.BadRequest)
		}
	}
	d.webCall()
	came := d.sift()
	d.identify(&came)
	d.vouch()
	if d.Upgrade {
		d.Edits.replace("Connection", "Upgrade")
	}
	if d.hops != "" && !field.Lists(came.connection, "Max-Forwards") {
		d.Edits.replace("Max-Forwards", d.hops)
	}
	return false
}

// webCall finds out whether the request is one of gRPC-Web, and makes it one of gRPC.
func (d *Decision) webCall() {
	if !d.Set.Upstream.GRPCWeb || d.Request.Method != "POST" {
		return
	}
	kind, ok := strings.CutPrefix(first(d.Request.Header["Content-Type"]), webType)
	if !ok {
		return
	}
	d.Web.On = true
	kind, d.Web.Text = strings.CutPrefix(kind, "-text")
	d.Edits.replace("Content-Type", "application/grpc"+kind)
	if d.Web.Text {
		d.Edits.remove("Content-Length") // it is the text's
	}
}

// TargetHost is the Host that the endpoint gets; empty is its own address, for HTTP/1.0 clients that sent none.
func (d *Decision) TargetHost() string {
	if vhost := d.Set.Upstream.VHost; vhost != "" {
		return vhost
	}
	return d.Host
}

// identify says who is asking and for what (reference: ingress-nginx's proxy_set_header lines). What the client wrote into these
// fields is replaced, unless it is a trusted proxy.
func (d *Decision) identify(came *cameWith) {
	e := &d.Edits
	d.forwardedFor(came.forwardedFor)
	proto := d.Ask.Scheme
	if d.Forwarded.Proto != "" {
		proto = d.Forwarded.Proto
	}
	for _, value := range came.forwardedHost {
		e.add("X-Original-Forwarded-Host", value)
	}
	e.add("X-Forwarded-Host", d.Host)
	e.add("X-Forwarded-Port", d.port())
	e.add("X-Forwarded-Proto", proto)
	e.add("X-Forwarded-Scheme", proto)
	e.add("X-Scheme", proto)
	e.add("X-Real-Ip", d.Client)
	if d.ID != "" {
		e.add("X-Request-Id", d.ID)
	}
	if d.Set.Forwarded.OriginalURI {
		e.remove("X-Original-Uri")
		e.add("X-Original-Uri", d.Ask.Target)
	}
}

// forwardedFor replaces X-Forwarded-For by the client's address, or appends the peer's where the whole chain is wanted and trusted.
func (d *Decision) forwardedFor(came []string) {
	for _, value := range came {
		d.Edits.add("X-Original-Forwarded-For", value)
	}
	value := d.Client
	if f := &d.Set.Forwarded; came != nil && f.ComputeFull && f.Use && d.Forwarded.Trusted {
		value = joined(came) + ", " + d.Request.Peer
	}
	d.Edits.add("X-Forwarded-For", value)
}

// port is the one that the client used: a trusted proxy's word, else what Host says, else the scheme's. Our own is no answer, since a
// Service or load balancer maps it.
func (d *Decision) port() string {
	if d.Forwarded.Port != "" {
		return d.Forwarded.Port
	}
	if i := strings.LastIndexByte(d.Host, ':'); i >= 0 && isDigits(d.Host[i+1:]) {
		return d.Host[i+1:]
	}
	if d.Ask.Scheme == "https" {
		return "443"
	}
	return "80"
}

// cameWith is what sift found in the client's fields that decides about others.
type cameWith struct {
	connection, te              []string
	forwardedFor, forwardedHost []string
}

// sift removes from the client's fields, in one pass, what belongs to its connection (RFC 9110 section 7.6.1), what Usher says itself
// (identify, loop), and Proxy, which CGI programs take for a setting (httpoxy). "TE: trailers" stays, since gRPC requires it (RFC 9110
// section 10.1.4).
func (d *Decision) sift() (came cameWith) {
	for name, values := range d.Request.Header {
		switch name {
		case "Connection":
			came.connection = values
		case "Te":
			came.te = values
		case LoopField:
			d.passed = values
			continue
		case "Upgrade":
			d.Upgrade = true // in HTTP/2 that is an extended CONNECT, see package http2
			continue
		case "X-Forwarded-For":
			came.forwardedFor = values
		case "X-Forwarded-Host":
			came.forwardedHost = values
		case "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Real-Ip",
			"X-Original-Forwarded-For", "X-Original-Forwarded-Host",
			"Ssl-Client-Cert", "Ssl-Client-Verify", "Ssl-Client-Subject-Dn", "Ssl-Client-Issuer-Dn",
			"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Transfer-Encoding", "Trailer", "Proxy":
		case "X-Request-Id":
			if d.ID == "" {
				continue
			}
		default:
			ours := d.Set.Headers.KeepUnderscores && looksLikeOurs(name)
			if !ours && (d.Forwarded.Whole || !claimsForwarding(name)) {
				continue
			}
		}
		d.Edits.remove(name)
	}
	asked := false
	if came.connection != nil {
		d.Edits.Remove, asked = field.Named(came.connection, d.Edits.Remove)
		if field.Lists(came.connection, "X-Forwarded-For") {
			came.forwardedFor = nil
		}
		if field.Lists(came.connection, "X-Forwarded-Host") {
			came.forwardedHost = nil
		}
	}
	if d.Upgrade && !asked {
		d.Upgrade = false
		d.Edits.remove("Upgrade")
	}
	if d.Web.On || came.te != nil && field.Lists(came.te, "trailers") {
		d.Edits.replace("Te", "trailers")
	}
	return came
}

// claimsForwarding reports whether a field says what a proxy in front of us did, beyond those that Usher says itself: X-Forwarded-Prefix,
// -Ssl, -User and their kin, and Forwarded (RFC 7239). Applications believe these, so a stranger's word does not reach them.
func claimsForwarding(name string) bool {
	return strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded"
}

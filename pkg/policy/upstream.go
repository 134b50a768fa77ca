package policy

import (
	"errors"
	"strings"
)

// Protocol is how Usher speaks to an endpoint.
type Protocol string

// The protocols. HTTPS and GRPCS do not verify the endpoint's certificate unless a CA is configured, as in ingress-nginx.
const (
	ProtocolUnset Protocol = ""          // the Service's appProtocol decides, then HTTP/1.1
	HTTP          Protocol = "HTTP"      // HTTP/1.1, plain
	HTTPS         Protocol = "HTTPS"     // HTTP/1.1 over TLS
	GRPC          Protocol = "GRPC"      // HTTP/2 with prior knowledge, plain (h2c)
	GRPCS         Protocol = "GRPCS"     // HTTP/2 over TLS
	AutoHTTP      Protocol = "AUTO_HTTP" // HTTP or HTTPS, as the client came
)

// Upstream is how endpoints are spoken to.
type Upstream struct {
	Protocol Protocol
	VHost    string // Host sent upstream; empty is the client's
	GRPCWeb  bool   // gRPC-Web of browsers is translated to gRPC
}

func defaultUpstream() Upstream { return Upstream{} }

func upstreamKeys() []Key {
	return []Key{
		{Name: "backend-protocol", Values: "HTTP, HTTPS, GRPC, GRPCS or AUTO_HTTP", Default: "HTTP", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How endpoints are spoken to; without it the Service port's appProtocol decides. FCGI is refused and closes the paths.",
			parse: parseProtocol},
		{Name: "upstream-vhost", Values: "host", Default: "", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Host header sent upstream; X-Forwarded-Host keeps the client's.",
			parse: func(s *Set, v string) (err error) { s.Upstream.VHost, err = parseAuthority(v); return err }},
		{Name: "grpc-web", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc: "Translate gRPC-Web, binary and text, which browsers speak over HTTP/1.1 and HTTP/2, to gRPC for endpoints with " +
				"backend-protocol GRPC or GRPCS. Other requests are passed on as they are. Usher's own.",
			parse: func(s *Set, v string) (err error) { s.Upstream.GRPCWeb, err = parseBool(v); return err }},
	}
}

func parseProtocol(s *Set, v string) error {
	switch p := Protocol(strings.ToUpper(v)); p {
	case HTTP, HTTPS, GRPC, GRPCS, AutoHTTP:
		s.Upstream.Protocol = p
		return nil
	}
	if strings.EqualFold(v, "FCGI") {
		return denial{UnsupportedProtocol, "FastCGI is not spoken; want HTTP, HTTPS, GRPC, GRPCS or AUTO_HTTP"}
	}
	return errors.New("want HTTP, HTTPS, GRPC, GRPCS or AUTO_HTTP")
}

// parseAuthority reads a value of the field Host.
func parseAuthority(v string) (string, error) {
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/\\@?#\"<>{}|^`$", c) >= 0 {
			return "", errors.New("want a host name, with an optional port")
		}
	}
	return v, nil
}

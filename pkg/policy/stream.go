package policy

import (
	"errors"
	"time"
)

// Stream is for connections whose bytes Usher passes on as they are: TLS of hosts with ssl-passthrough, and TCP services.
type Stream struct {
	Passthrough   bool          // TLS for the host is not ended here
	ProxyProtocol bool          // and the endpoint is told the client's address by a PROXY protocol header, version 2
	Idle          time.Duration // how long nothing may move in either direction
}

func defaultStream() Stream { return Stream{Idle: 600 * time.Second} }

func streamKeys() []Key {
	return []Key{
		{Name: "ssl-passthrough", Values: "bool", Default: "false", Scope: ScopeHost, Bad: DenyAccess,
			Doc: "Do not end TLS for the hosts of this Ingress: connections that ask for them by SNI go as they are to an endpoint of path /, " +
				"whose application has the certificate. Needs --enable-ssl-passthrough; without it the paths are closed. Nothing that " +
				"concerns requests counts then; plain HTTP is redirected to HTTPS unless ssl-redirect is false.",
			parse: func(s *Set, v string) (err error) { s.Stream.Passthrough, err = parseBool(v); return err }},
		{Name: "ssl-passthrough-proxy-protocol", Values: "bool", Default: "false", Scope: ScopeHost, Bad: UseDefault,
			Doc:   "Begin passed-through connections with a PROXY protocol header (version 2), which tells the endpoint the client's address. Usher's own.",
			parse: func(s *Set, v string) (err error) { s.Stream.ProxyProtocol, err = parseBool(v); return err }},
		{ConfigMap: "proxy-stream-timeout", Values: "time", Default: "600s", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "How long nothing may move on a TCP service's or passed-through connection, in either direction.",
			parse: parseStreamIdle},
	}
}

func parseStreamIdle(s *Set, v string) error {
	d, err := parseWait(v)
	if err != nil || d == 0 {
		return errors.New("want a time such as 600s or 10m, at most 1h")
	}
	s.Stream.Idle = d
	return nil
}

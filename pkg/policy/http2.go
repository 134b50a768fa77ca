package policy

// HTTP2 is what clients of HTTP/2 are told. What a connection was told stays so: a change reaches new connections.
type HTTP2 struct {
	Streams int // requests in flight on a connection; 0 is what the flag says
}

func http2Keys() []Key {
	return []Key{
		{ConfigMap: "use-http2", Values: "bool", Default: "true", Scope: ScopeGlobal, Bad: UseDefault,
			Doc: "Offer HTTP/2 to clients of HTTPS. gRPC and whatever else needs it do not work without.",
			parse: func(s *Set, v string) error {
				on, err := parseBool(v)
				s.TLS.OnlyHTTP1 = !on && err == nil
				return err
			}},
		{ConfigMap: "http2-max-concurrent-streams", Values: "count, at least 1", Default: "", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "How many requests an HTTP/2 connection may have in flight; without it what --http2-max-concurrent-streams says (128).",
			parse: func(s *Set, v string) (err error) { s.HTTP2.Streams, err = parseInt(v, 1, 1<<20); return err }},
	}
}

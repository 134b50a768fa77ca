package policy

import "time"

// Timeouts of a request on its way to an endpoint. Send and Read are idle times between two writes or reads, not totals, so a long
// download or a chatty WebSocket is never cut.
type Timeouts struct {
	Connect time.Duration
	Send    time.Duration
	Read    time.Duration
}

func defaultTimeouts() Timeouts {
	return Timeouts{Connect: 5 * time.Second, Send: 60 * time.Second, Read: 60 * time.Second}
}

func timeoutKeys() []Key {
	return []Key{
		{Name: "proxy-connect-timeout", ConfigMap: "proxy-connect-timeout", Values: "seconds", Default: "5", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long a connection to an endpoint may take.",
			parse: func(s *Set, v string) (err error) { s.Timeouts.Connect, err = parseSeconds(v); return err }},
		{Name: "proxy-send-timeout", ConfigMap: "proxy-send-timeout", Values: "seconds", Default: "60", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long an endpoint may take to accept more of the request, between two writes.",
			parse: func(s *Set, v string) (err error) { s.Timeouts.Send, err = parseSeconds(v); return err }},
		{Name: "proxy-read-timeout", ConfigMap: "proxy-read-timeout", Values: "seconds", Default: "60", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long an endpoint may stay silent, between two reads; also what ends a quiet WebSocket or gRPC stream.",
			parse: func(s *Set, v string) (err error) { s.Timeouts.Read, err = parseSeconds(v); return err }},
	}
}

package policy

import "time"

// Overload bounds how much of a Service's traffic is in flight, and how long a request waits for a place or for a Pod. Everything is
// off unless asked for; the options are Usher's own.
type Overload struct {
	MaxInFlight         int           // requests in flight to the Service; 0 is no limit
	MaxInFlightEndpoint int           // to one endpoint
	MaxConnections      int           // open to one endpoint, unused ones included; 0 is no limit
	QueueTimeout        time.Duration // how long a request waits for a place; 0 is not at all
	WaitForEndpoints    time.Duration // how long a request waits while the Service has no usable endpoint
}

func overloadKeys() []Key {
	return []Key{
		{Name: "max-in-flight", Values: "count", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Requests in flight to the Service at most, on each replica; more wait queue-timeout and are then answered 503.",
			parse: func(s *Set, v string) (err error) { s.Overload.MaxInFlight, err = parseInt(v, 0, 1<<30); return err }},
		{Name: "max-in-flight-per-endpoint", Values: "count", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "Requests in flight to one endpoint at most, on each replica.",
			parse: func(s *Set, v string) (err error) {
				s.Overload.MaxInFlightEndpoint, err = parseInt(v, 0, 1<<30)
				return err
			}},
		{Name: "max-connections-per-endpoint", Values: "count", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "HTTP/1.1 connections open to one endpoint at most, on each replica, unused ones included. A request that would need one more goes to another " +
				"endpoint, and is answered 503 when all have as many as they may. HTTP/2 endpoints have few connections whatever happens.",
			parse: func(s *Set, v string) (err error) { s.Overload.MaxConnections, err = parseInt(v, 0, 1<<30); return err }},
		{Name: "queue-timeout", Values: "duration", Default: "0s", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long a request over max-in-flight waits for a place.",
			parse: func(s *Set, v string) (err error) { s.Overload.QueueTimeout, err = parseWait(v); return err }},
		{Name: "wait-for-endpoints", Values: "duration", Default: "0s", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long a request waits while the Service has no usable endpoint, for a deploy with Recreate or a scale from zero.",
			parse: func(s *Set, v string) (err error) { s.Overload.WaitForEndpoints, err = parseWait(v); return err }},
	}
}

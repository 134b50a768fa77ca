package policy

import (
	"errors"
	"math"
	"strings"
	"time"
)

// Balance says which endpoint a request without a session goes to.
type Balance struct {
	Algorithm  Algorithm
	HashBy     []Part // consistent hashing on these, when not empty
	Subset     bool   // hash to a subset, random inside it
	SubsetSize int
	SlowStart  time.Duration // how long a new endpoint gets less than its share
}

// Algorithm is a way to spread requests.
type Algorithm string

// The algorithms.
const (
	RoundRobin   Algorithm = "round_robin"
	EWMA         Algorithm = "ewma"          // the less loaded and faster of two random endpoints
	LeastRequest Algorithm = "least_request" // the one of two random endpoints with fewer requests in flight
)

func defaultBalance() Balance { return Balance{Algorithm: RoundRobin, SubsetSize: 3} }

// Part is a piece of a hash key: literal text, or a variable of the closed list.
type Part struct {
	Text     string // literal, when Variable is empty
	Variable string // "request_uri", "http_", "cookie_", "arg_" ...
	Name     string // for the last three: which header, cookie or argument
}

func balanceKeys() []Key {
	return []Key{
		{Name: "load-balance", ConfigMap: "load-balance", Values: "round_robin, ewma or least_request", Default: "round_robin", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How requests without a session are spread. least_request is Usher's own.",
			parse: oneOf(func(s *Set, v string) { s.Balance.Algorithm = Algorithm(v) }, string(RoundRobin), string(EWMA), string(LeastRequest))},
		{Name: "slow-start", Values: "duration", Default: "0s", Scope: ScopePath, Bad: UseDefault,
			Doc:   "How long the share of a new endpoint grows from a tenth to the whole, so that it can warm up. Usher's own.",
			parse: func(s *Set, v string) (err error) { s.Balance.SlowStart, err = parseWait(v); return err }},
		{Name: "upstream-hash-by", Values: "text with $request_uri $uri $host $remote_addr $binary_remote_addr $http_NAME $cookie_NAME $arg_NAME", Scope: ScopePath, Bad: UseDefault,
			Doc: "Consistent hashing: equal values go to the same endpoint on every replica.", parse: parseHashBy},
		{Name: "upstream-hash-by-subset", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Hash to a few endpoints and choose at random among them.",
			parse: func(s *Set, v string) (err error) { s.Balance.Subset, err = parseBool(v); return err }},
		{Name: "upstream-hash-by-subset-size", Values: "count", Default: "3", Scope: ScopePath, Bad: UseDefault,
			Doc: "Size of that subset.",
			parse: func(s *Set, v string) (err error) {
				s.Balance.SubsetSize, err = parseInt(v, 1, math.MaxInt32)
				return err
			}},
	}
}

var errWantHashBy = errors.New("want text with variables of the closed list: $request_uri $uri $host $remote_addr $binary_remote_addr $http_NAME $cookie_NAME $arg_NAME")

func parseHashBy(s *Set, v string) error {
	var parts []Part
	for v != "" {
		text, rest, found := strings.Cut(v, "$")
		if text != "" {
			parts = append(parts, Part{Text: text})
		}
		if !found {
			break
		}
		name, after := variableName(rest)
		part, ok := variable(name)
		if !ok {
			return errWantHashBy
		}
		parts, v = append(parts, part), after
	}
	s.Balance.HashBy = parts
	return nil
}

// variableName cuts a variable's name, plain or in braces, from what follows a dollar sign.
func variableName(rest string) (name, after string) {
	if inner, ok := strings.CutPrefix(rest, "{"); ok {
		name, after, _ = strings.Cut(inner, "}")
		return name, after
	}
	end := 0
	for end < len(rest) && (rest[end] == '_' || rest[end] >= 'a' && rest[end] <= 'z' || rest[end] >= 'A' && rest[end] <= 'Z' || rest[end] >= '0' && rest[end] <= '9') {
		end++
	}
	return rest[:end], rest[end:]
}

func variable(name string) (Part, bool) {
	switch name {
	case "request_uri", "uri", "host", "remote_addr", "binary_remote_addr":
		return Part{Variable: name}, true
	}
	for _, family := range []string{"http_", "cookie_", "arg_"} {
		if rest, ok := strings.CutPrefix(name, family); ok && rest != "" {
			if family == "http_" {
				rest, ok = canonicalName(strings.ReplaceAll(rest, "_", "-"))
			}
			return Part{Variable: family, Name: rest}, ok
		}
	}
	return Part{}, false
}

package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Retry says when another endpoint is tried. Whatever is listed, a request that provably reached no application is retried for any
// method, and nothing is retried once a byte of the answer went out.
type Retry struct {
	Error         bool // connection refused, reset, or closed before an answer
	Timeout       bool
	InvalidHeader bool    // an answer that is not HTTP
	Answers       Answers // an answer with one of these statuses
	NonIdempotent bool    // also POST, PATCH and LOCK
	Off           bool
	Tries         int           // tries in all; 0 is one for each endpoint
	Within        time.Duration // no further try after this, from the first one; 0 is no limit

	everyMethod bool // retry-non-idempotent, which counts beside whatever list an Ingress has
}

// Answers is a set of the statuses that proxy-next-upstream can name.
type Answers uint8

// answers are those statuses, each at the place of its bit.
var answers = [...]int{403, 404, 429, 500, 502, 503, 504}

// Has reports whether status is in the set.
func (a Answers) Has(status int) bool {
	for i, s := range answers {
		if s == status {
			return a&(1<<i) != 0
		}
	}
	return false
}

// Failed reports whether a listed answer says that its endpoint does not do its part: nginx takes 403 and 404 for the application's word.
func Failed(status int) bool { return status != 403 && status != 404 }

// Failure is what became of a try, as far as another one depends on it.
type Failure uint8

// The failures.
const (
	Broken   Failure = iota // refused, reset, or closed before an answer
	TimedOut                // connecting, sending or waiting took too long
	Invalid                 // the answer is not HTTP
	Answered                // the answer has one of Retry.Answers
)

func defaultRetry() Retry { return Retry{Error: true, Timeout: true, Tries: 3} }

// Idempotent reports whether a method may be repeated by its definition (RFC 9110 section 9.2.2).
func Idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Repeats reports whether a method may be sent again although an endpoint may have worked on it.
func (p *Retry) Repeats(method string) bool {
	return p.NonIdempotent || p.everyMethod || Idempotent(method)
}

// Allows reports whether a request may be tried again after a failure. processed says that the endpoint may have seen it.
func (p *Retry) Allows(method string, processed bool, after Failure) bool {
	if p.Off {
		return false
	}
	if !processed {
		return true
	}
	if !p.Repeats(method) {
		return false
	}
	switch after {
	case TimedOut:
		return p.Timeout
	case Invalid:
		return p.InvalidHeader
	case Answered:
		return true // it is listed
	}
	return p.Error
}

func retryKeys() []Key {
	return []Key{
		{Name: "proxy-next-upstream", ConfigMap: "proxy-next-upstream", Values: "list of error, timeout, invalid_header, http_403, http_404, http_429, http_500, http_502, http_503, http_504, non_idempotent, off", Default: "error timeout", Scope: ScopePath, Bad: UseDefault,
			Doc: "Failures, and statuses of answers, after which another endpoint is tried: one that was not tried yet, or any of them when all were, while the Service's retry budget lasts. " +
				"The last answer is passed on whatever it is. A request of which an endpoint can have read nothing is tried again even if nothing is listed, unless off is; " +
				"nginx does so for what error and timeout list only.",
			parse: parseNextUpstream},
		{Name: "proxy-next-upstream-tries", ConfigMap: "proxy-next-upstream-tries", Values: "count", Default: "3", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Tries in all; 0 is one for each endpoint.",
			parse: func(s *Set, v string) (err error) { s.Retry.Tries, err = parseInt(v, 0, 1000); return err }},
		{Name: "proxy-next-upstream-timeout", ConfigMap: "proxy-next-upstream-timeout", Values: "seconds", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "No further try after this time, from the first one; 0 is no limit.",
			parse: func(s *Set, v string) error {
				n, err := parseInt(v, 0, 86400)
				s.Retry.Within = time.Duration(n) * time.Second
				return err
			}},
		{ConfigMap: "retry-non-idempotent", Values: "bool", Default: "false", Scope: ScopeGlobal, Bad: UseDefault,
			Doc:   "Retry POST, PATCH and LOCK as well.",
			parse: func(s *Set, v string) (err error) { s.Retry.everyMethod, err = parseBool(v); return err }},
	}
}

func parseNextUpstream(s *Set, v string) error {
	next := Retry{Tries: s.Retry.Tries, Within: s.Retry.Within, everyMethod: s.Retry.everyMethod}
	for _, word := range strings.Fields(v) {
		switch word {
		case "error":
			next.Error = true
		case "timeout":
			next.Timeout = true
		case "invalid_header":
			next.InvalidHeader = true
		case "non_idempotent":
			next.NonIdempotent = true
		case "off":
			next.Off = true
		default:
			bit := answerBit(word)
			if bit == 0 {
				return fmt.Errorf("want a list of error, timeout, invalid_header, %s, non_idempotent, off; %s is none of them", answerWords(), word)
			}
			next.Answers |= bit
		}
	}
	s.Retry = next
	return nil
}

// answerBit is the bit of a word such as http_502; 0 when it is no such word.
func answerBit(word string) Answers {
	for i, status := range answers {
		if word == "http_"+strconv.Itoa(status) {
			return 1 << i
		}
	}
	return 0
}

func answerWords() string {
	var words []string
	for _, status := range answers {
		words = append(words, "http_"+strconv.Itoa(status))
	}
	return strings.Join(words, ", ")
}

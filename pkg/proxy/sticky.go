package proxy

import (
	"math/rand/v2"

	"github.com/usher-ingress/usher/pkg/pool"
)

// Session cookies (policy.Sticky). A client that has a valid one goes to its Pod, also while that is terminating and still serves.
// Everybody else is balanced, and gets a cookie with the answer: for the endpoint that answered, so that one that failed is not what
// a client is bound to.

// session is what a request's cookie says.
type session struct {
	on     bool
	known  bool   // the cookie was ours, and names something that is there
	pinned int    // persistent: the member it names; -1 for none
	number uint64 // balanced: the session, the client's or a new one
}

// stick reads the session cookie.
func (x *exchange) stick() {
	sticky, keys := &x.Set.Sticky, x.Table.StickyKeys
	if !sticky.On || keys == nil || len(*keys) == 0 {
		return
	}
	x.session = session{on: true, pinned: -1}
	token := x.Session()
	if sticky.Persistent {
		if i, ok := x.members.tokens(keys).index[token]; ok && token != "" {
			x.session.pinned, x.session.known = i, true
		}
		return
	}
	if number, ok := x.members.sessions(keys).Number(token, &x.scratch); ok {
		x.session.number, x.session.known = number, true
		return
	}
	x.session.number = x.newSession(-1)
}

// newSession finds a session that is at home on member i, or on any that takes new ones for -1.
func (x *exchange) newSession(i int) uint64 {
	seeds := x.members.seeds()
	var number uint64
	for range 64 * (len(seeds) + 1) {
		number = rand.Uint64() //nolint:gosec // a name, not a secret: it is sealed
		if home := pool.Preferred(number, seeds); home == i || i < 0 && home < x.members.ready {
			break
		}
	}
	return number
}

// home is the member that the session belongs to, or -1. When that was tried, is ejected, unwell or full, one of those that take new
// sessions stands in for as long as that lasts: the cookie stays what it is.
func (x *exchange) home() int {
	c := x.candidates()
	c.Endpoints = x.members.endpoints
	home := x.session.pinned
	if !x.Set.Sticky.Persistent {
		home = pool.Preferred(x.session.number, x.members.seeds())
	}
	if home >= 0 && c.Sound(home) {
		return home
	}
	if x.Set.Sticky.Persistent {
		return -1
	}
	c.Endpoints = x.members.endpoints[:x.members.ready]
	return c.Rendezvous(x.session.number, x.members.seeds()[:x.members.ready])
}

// cookie is the Set-Cookie for the answer of the endpoint tried last, or "" when the client's own is right.
func (x *exchange) cookie() string {
	if !x.session.on || len(x.tried) == 0 {
		return ""
	}
	sticky, keys := &x.Set.Sticky, x.Table.StickyKeys
	answered := x.tried[len(x.tried)-1]
	if x.session.known && (len(x.tried) == 1 || !sticky.ChangeOnFailure) {
		return ""
	}
	var token string
	if sticky.Persistent {
		token = x.members.tokens(keys).mine[answered]
	} else {
		if len(x.tried) > 1 {
			x.session.number = x.newSession(answered)
		}
		token = x.members.sessions(keys).Token(x.session.number)
	}
	return sticky.Cookie(token, x.Match.Route.Path, x.Ask.Scheme == "https", first(x.r.Header["User-Agent"]))
}

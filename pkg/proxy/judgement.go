package proxy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// judgements remembers what certificates came to, since judging one takes longer than all the rest of a request. They are known by a
// hash, so that none is kept in memory for it. A judgement is kept for a minute: not longer, since certificates and lists expire.
type judgements struct {
	mu      sync.Mutex
	entries map[judgedKey]*shownCert
	queue   []judged // in order of age
	bytes   int      // of the queue
}

const (
	judgedFor = time.Minute
	// judgedMost bounds what is remembered, in bytes; a client may have any number of certificates made by itself.
	judgedMost = 4 << 20
	// judgedLeast is what the smallest judgement takes, with its places in map and queue.
	judgedLeast = 400
)

// judgedKey is what a judgement depends on, but for the time.
type judgedKey struct {
	chain   [sha256.Size]byte
	cas     *route.ClientCAs
	depth   int
	forward bool
}

type judged struct {
	key  judgedKey
	cert *shownCert
}

// of judges what a client showed, or remembers.
func (j *judgements) of(chain []*x509.Certificate, auth *route.ClientAuth) *shownCert {
	if len(chain) == 0 {
		return noCert
	}
	now, key := time.Now(), judgedKey{cas: auth.CAs, depth: auth.Policy.Depth, forward: auth.Policy.Forward, chain: hashOf(chain)}
	j.mu.Lock()
	known := j.entries[key]
	j.mu.Unlock()
	if known != nil && now.Sub(known.at) < judgedFor {
		return known
	}
	fresh := judge(chain, auth, now)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.remember(judged{key, fresh})
	return fresh
}

// remember adds a judgement and forgets those that are old or too many.
func (j *judgements) remember(fresh judged) {
	if j.entries == nil {
		j.entries = map[judgedKey]*shownCert{}
	}
	j.entries[fresh.key] = fresh.cert
	j.queue = append(j.queue, fresh)
	j.bytes += fresh.cert.size()
	for len(j.queue) > 0 && (j.bytes > judgedMost || fresh.cert.at.Sub(j.queue[0].cert.at) >= judgedFor) {
		oldest := j.queue[0]
		j.queue[0], j.queue = judged{}, j.queue[1:]
		j.bytes -= oldest.cert.size()
		if j.entries[oldest.key] == oldest.cert {
			delete(j.entries, oldest.key)
		}
	}
}

// hashOf is a hash of certificates and their order.
func hashOf(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	var both [2 * sha256.Size]byte
	for _, c := range chain {
		one := sha256.Sum256(c.Raw)
		copy(both[:], sum[:])
		copy(both[sha256.Size:], one[:])
		sum = sha256.Sum256(both[:])
	}
	return sum
}

func judge(chain []*x509.Certificate, auth *route.ClientAuth, now time.Time) *shownCert {
	leaf := chain[0]
	c := &shownCert{
		verdict: auth.CAs.Verify(chain, auth.Policy.Depth, now), shown: true,
		subject: policy.DN(leaf.RawSubject), issuer: policy.DN(leaf.RawIssuer), commonNames: policy.CommonNames(leaf), at: now,
	}
	if auth.Policy.Forward {
		c.escaped = escapeURI(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	}
	return c
}

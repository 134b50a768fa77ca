package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"time"

	"github.com/usher-ingress/usher/pkg/decide"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// judgements remembers what certificates came to, since judging one takes longer than all the rest of a request. They are known by a
// hash, so that none is kept in memory for it. A judgement is kept for a minute: not longer, since certificates and lists expire.
type judgements struct {
	mu      sync.Mutex
	entries map[judgedKey]*judgement
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

// judgement is what a certificate came to, and when.
type judgement struct {
	decide.Certificate
	at time.Time
}

// size is about what it takes to remember, in bytes.
func (c *judgement) size() int {
	size := judgedLeast + len(c.Subject) + len(c.Issuer) + len(c.Escaped)
	for _, name := range c.CommonNames {
		size += len(name) + 16
	}
	return size
}

type judged struct {
	key  judgedKey
	cert *judgement
}

// of judges what a client showed, or remembers.
func (j *judgements) of(chain []*x509.Certificate, auth *route.ClientAuth) *decide.Certificate {
	if len(chain) == 0 {
		return nil
	}
	now, key := time.Now(), judgedKey{cas: auth.CAs, depth: auth.Policy.Depth, forward: auth.Policy.Forward, chain: hashOf(chain)}
	j.mu.Lock()
	known := j.entries[key]
	j.mu.Unlock()
	if known != nil && now.Sub(known.at) < judgedFor {
		return &known.Certificate
	}
	fresh := judge(chain, auth, now)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.remember(judged{key, fresh})
	return &fresh.Certificate
}

// remember adds a judgement and forgets those that are old or too many.
func (j *judgements) remember(fresh judged) {
	if j.entries == nil {
		j.entries = map[judgedKey]*judgement{}
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

func judge(chain []*x509.Certificate, auth *route.ClientAuth, now time.Time) *judgement {
	leaf := chain[0]
	c := &judgement{at: now, Certificate: decide.Certificate{
		Verdict: auth.CAs.Verify(chain, auth.Policy.Depth, now),
		Subject: policy.DN(leaf.RawSubject), Issuer: policy.DN(leaf.RawIssuer), CommonNames: policy.CommonNames(leaf),
	}}
	if auth.Policy.Forward {
		c.Escaped = escapeURI(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	}
	return c
}

// escapeURI escapes all but the unreserved characters (RFC 3986 section 2.3).
func escapeURI(text []byte) string {
	const hex = "0123456789ABCDEF"
	var b bytes.Buffer
	for _, c := range text {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

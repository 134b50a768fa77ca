package policy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
)

// Sticky keeps a client on one Pod by a cookie (affinity: cookie).
//
// The cookie is an opaque token and never an address. In persistent mode it is the keyed hash of the Pod's identity, so every replica
// that has the key finds the same Pod, whatever it saw before, and scaling up moves nobody. In balanced mode it is a random number for
// the session, sealed with the key, and the Pod follows from it by rendezvous hashing over the identities, so scaling moves the share
// of sessions that the new Pod takes, as in ingress-nginx. A client can neither forge a token nor read anything from one.
type Sticky struct {
	On              bool
	Persistent      bool
	Name            string // cookie name
	Path            string // "" is the path of the route as written
	Domain          string
	MaxAge          int // seconds; 0 is a session cookie
	Expires         int // seconds; the legacy pair of MaxAge
	SameSite        string
	Secure          bool // always; otherwise exactly when the client came over HTTPS
	ConditionalNone bool // leave SameSite=None out for clients that misread it
	ChangeOnFailure bool // a new cookie when the Pod failed and another answered
	LegacyCanary    bool // evaluate canary rules again for each request
}

func defaultSticky() Sticky { return Sticky{Name: "INGRESSCOOKIE"} }

// StickyKeys make and check cookies: the first makes, all are accepted, so that a key can be rotated. A key is any 16 bytes or more.
type StickyKeys [][]byte

const tokenBytes = 16

// token is the bytes of a cookie, which is spelled in one way only.
type token [tokenBytes]byte

var (
	tokenSpelling = base64.RawURLEncoding.Strict()
	tokenLength   = tokenSpelling.EncodedLen(tokenBytes) // in letters
)

func (t *token) String() string { return tokenSpelling.EncodeToString(t[:]) }

// read reads what String writes. encoding/base64 passes over line breaks even when it is strict; then bytes are missing.
func (t *token) read(text string) bool {
	if len(text) != tokenLength {
		return false
	}
	n, err := tokenSpelling.Decode(t[:], []byte(text))
	return n == tokenBytes && err == nil
}

// PodToken is the persistent cookie value for a Pod's identity behind a backend, under the first key.
func (k StickyKeys) PodToken(backend, identity string) string {
	if len(k) == 0 {
		return ""
	}
	t := podToken(k[0], backend, identity)
	return t.String()
}

// IsPod reports whether text names the Pod with this identity, under any key. The comparison takes constant time.
func (k StickyKeys) IsPod(text, backend, identity string) bool {
	var t token
	if !t.read(text) {
		return false
	}
	for _, key := range k {
		if own := podToken(key, backend, identity); hmac.Equal(t[:], own[:]) {
			return true
		}
	}
	return false
}

func podToken(key []byte, backend, identity string) token {
	return token(keyed(key, "pod", backend, identity)[:tokenBytes])
}

// keyed is a keyed hash of some texts, none of which can be moved into another.
func keyed(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

// Sessions makes and reads the balanced cookies of one backend. A cookie is one block of AES under a key of the backend's own: the
// session's number and eight bytes of zero, by which a block that somebody else made is told, but for one in 2^64. It costs a tenth
// of a keyed hash, of which there would be one for each request.
type Sessions struct{ ciphers []cipher.Block } // of each key; the first makes

// Sessions returns those of a backend. Preparing costs more than reading, so they are to be kept.
func (k StickyKeys) Sessions(backend string) *Sessions {
	s := &Sessions{}
	for _, key := range k {
		block, err := aes.NewCipher(keyed(key, "session", backend))
		if err != nil {
			continue // never: a sum is as long as a key
		}
		s.ciphers = append(s.ciphers, block)
	}
	return s
}

// Token is the cookie value of the session with a random number.
func (s *Sessions) Token(number uint64) string {
	if len(s.ciphers) == 0 {
		return ""
	}
	var t token
	binary.BigEndian.PutUint64(t[:], number)
	s.ciphers[0].Encrypt(t[:], t[:])
	return t.String()
}

// Scratch is room for reading a cookie, which a caller that reads many uses again.
type Scratch struct{ sealed, open token }

// Number returns the session that text names, and whether it was made under one of the keys for this backend.
func (s *Sessions) Number(text string, room *Scratch) (uint64, bool) {
	if !room.sealed.read(text) {
		return 0, false
	}
	for _, c := range s.ciphers {
		c.Decrypt(room.open[:], room.sealed[:])
		if binary.BigEndian.Uint64(room.open[8:]) == 0 {
			return binary.BigEndian.Uint64(room.open[:]), true
		}
	}
	return 0, false
}

// Cookie renders a Set-Cookie value (RFC 6265bis) for token on a route whose path is routePath. HttpOnly is always set.
func (s *Sticky) Cookie(token, routePath string, overTLS bool, userAgent string) string {
	var b strings.Builder
	b.WriteString(s.Name + "=" + token)
	path := s.Path
	if path == "" {
		path = routePath
	}
	b.WriteString("; Path=" + path)
	if s.Domain != "" {
		b.WriteString("; Domain=" + s.Domain)
	}
	if age := max(s.MaxAge, s.Expires); age > 0 {
		b.WriteString("; Max-Age=" + strconv.Itoa(age))
	}
	secure := s.Secure || overTLS
	if secure {
		b.WriteString("; Secure")
	}
	b.WriteString("; HttpOnly")
	if s.SameSite != "" && !(s.SameSite == "None" && (!secure || s.ConditionalNone && misreadsNone(userAgent))) {
		b.WriteString("; SameSite=" + s.SameSite)
	}
	return b.String()
}

// misreadsNone recognises the clients that take SameSite=None for Strict: iOS 12, Safari on macOS 10.14, Chrome 51 to 66.
func misreadsNone(agent string) bool {
	if strings.Contains(agent, "OS 12_") || strings.Contains(agent, "Mac OS X 10_14") && strings.Contains(agent, "Version/") && !strings.Contains(agent, "Chrome/") {
		return true
	}
	_, rest, ok := strings.Cut(agent, "Chrome/")
	if !ok || len(rest) < 2 {
		return false
	}
	major, err := strconv.Atoi(rest[:2])
	return err == nil && (len(rest) == 2 || rest[2] == '.') && major >= 51 && major <= 66
}

func stickyKeys() []Key {
	b := func(field func(*Sticky) *bool) func(*Set, string) error {
		return func(s *Set, v string) (err error) { *field(&s.Sticky), err = parseBool(v); return err }
	}
	n := func(field func(*Sticky) *int) func(*Set, string) error {
		return func(s *Set, v string) (err error) { *field(&s.Sticky), err = parseInt(v, 0, math.MaxInt32); return err }
	}
	return append([]Key{
		{Name: "affinity", Values: "cookie", Scope: ScopePath, Bad: UseDefault,
			Doc:   "Keep a client on one Pod by a cookie. Scoped to the paths of this Ingress; ingress-nginx lets it leak to every path that uses the Service.",
			parse: oneOf(func(s *Set, _ string) { s.Sticky.On = true }, "cookie")},
		{Name: "affinity-mode", Values: "balanced or persistent", Default: "balanced", Scope: ScopePath, Bad: UseDefault,
			Doc:   "balanced: scaling up moves a share of the sessions to new Pods. persistent: a session moves only when its Pod is gone.",
			parse: oneOf(func(s *Set, v string) { s.Sticky.Persistent = v == "persistent" }, "balanced", "persistent")},
		{Name: "affinity-canary-behavior", Values: "sticky or legacy", Default: "sticky", Scope: ScopePath, Bad: UseDefault,
			Doc:   "sticky: a client stays on canary or primary whatever the weight says. legacy: the canary rules decide each request.",
			parse: oneOf(func(s *Set, v string) { s.Sticky.LegacyCanary = v == "legacy" }, "sticky", "legacy")},
		{Name: "session-cookie-name", Values: "cookie name", Default: "INGRESSCOOKIE", Scope: ScopePath, Bad: UseDefault,
			Doc: "Name of the cookie.", parse: parseCookieName},
		{Name: "session-cookie-path", Values: "path", Scope: ScopePath, Bad: UseDefault,
			Doc: "Path attribute; without it the Ingress path as written.", parse: cookieText(func(s *Set, v string) { s.Sticky.Path = v })},
		{Name: "session-cookie-domain", Values: "domain", Scope: ScopePath, Bad: UseDefault,
			Doc: "Domain attribute.", parse: cookieText(func(s *Set, v string) { s.Sticky.Domain = v })},
		{Name: "session-cookie-samesite", Values: "None, Lax or Strict", Scope: ScopePath, Bad: UseDefault,
			Doc: "SameSite attribute; None is sent with Secure only.", parse: parseSameSite},
	},
		Key{Name: "session-cookie-max-age", Values: "seconds", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "Max-Age attribute; 0 is a session cookie.", parse: n(func(s *Sticky) *int { return &s.MaxAge })},
		Key{Name: "session-cookie-expires", Values: "seconds", Default: "0", Scope: ScopePath, Bad: UseDefault,
			Doc: "The legacy pair of session-cookie-max-age; the larger one is sent as Max-Age.", parse: n(func(s *Sticky) *int { return &s.Expires })},
		Key{Name: "session-cookie-secure", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc: "Always set Secure; otherwise it is set exactly when the client came over HTTPS.", parse: b(func(s *Sticky) *bool { return &s.Secure })},
		Key{Name: "session-cookie-conditional-samesite-none", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc: "Leave SameSite=None out for old browsers that misread it.", parse: b(func(s *Sticky) *bool { return &s.ConditionalNone })},
		Key{Name: "session-cookie-change-on-failure", Values: "bool", Default: "false", Scope: ScopePath, Bad: UseDefault,
			Doc: "Give a new cookie when the Pod failed and another answered.", parse: b(func(s *Sticky) *bool { return &s.ChangeOnFailure })})
}

// oneOf reads a word from a closed list, in any case.
func oneOf(set func(*Set, string), words ...string) func(*Set, string) error {
	return func(s *Set, v string) error {
		for _, w := range words {
			if strings.EqualFold(v, w) {
				set(s, w)
				return nil
			}
		}
		return errors.New("want " + strings.Join(words, " or "))
	}
}

func parseCookieName(s *Set, v string) error {
	for i := 0; i < len(v); i++ {
		if c := v[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", c) >= 0 {
			return errors.New("want a cookie name: letters, digits and -_. without separators")
		}
	}
	s.Sticky.Name = v
	return nil
}

// cookieText reads the value of a cookie attribute, which can hold neither a separator nor a control character.
func cookieText(set func(*Set, string)) func(*Set, string) error {
	return func(s *Set, v string) error {
		for i := 0; i < len(v); i++ {
			if v[i] < ' ' || v[i] == ';' || v[i] >= 0x7f {
				return errors.New("want printable ASCII without a semicolon")
			}
		}
		set(s, v)
		return nil
	}
}

func parseSameSite(s *Set, v string) error {
	return oneOf(func(s *Set, w string) { s.Sticky.SameSite = w }, "None", "Lax", "Strict")(s, v)
}

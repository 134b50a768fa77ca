package policy_test

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"testing/quick"

	"github.com/usher-ingress/usher/pkg/policy"
)

// newKeys makes one random key.
func newKeys() policy.StickyKeys {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return policy.StickyKeys{key}
}

// believes tells what is made of a token: whether it names the Pod, or a session, of that backend.
func believes(k policy.StickyKeys, token, backend, pod string) bool {
	_, session := k.Sessions(backend).Number(token, &policy.Scratch{})
	return session || k.IsPod(token, backend, pod)
}

// forgeries are what can be made of a token without the key.
func forgeries(t *testing.T, token string) (all []string) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) { // every bit flipped
		forged := append([]byte(nil), raw...)
		forged[bit/8] ^= 1 << (bit % 8)
		all = append(all, base64.RawURLEncoding.EncodeToString(forged))
	}
	for n := range len(raw) { // every shorter one, from either end, also filled up
		all = append(all, base64.RawURLEncoding.EncodeToString(raw[:n]), base64.RawURLEncoding.EncodeToString(raw[n+1:]),
			base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), raw[:n]...), make([]byte, len(raw)-n)...)))
	}
	for n := range len(token) {
		all = append(all, token[:n], token[:n]+"!"+token[n+1:], token[:n]+"\r"+token[n:], token[:n]+"\n"+token[n:])
	}
	// Other spellings of the same bytes, so that a token is one string only; and longer ones.
	return append(all, base64.URLEncoding.EncodeToString(raw)+"=", base64.RawURLEncoding.EncodeToString(append(raw, 0)), token+token, " "+token, token+"=",
		strings.ToUpper(token)+"_", base64.RawURLEncoding.EncodeToString(raw[:len(raw)/2]), base64.RawURLEncoding.EncodeToString(append(raw, raw...)))
}

// TestTokensCannotBeForged: a token is believed with its key, its backend and its Pod, and never otherwise.
func TestTokensCannotBeForged(t *testing.T) {
	holds := func(backend, pod string, session uint64) bool {
		keys, others := newKeys(), newKeys()
		for _, token := range []string{keys.PodToken(backend, pod), keys.Sessions(backend).Token(session)} {
			if !believes(keys, token, backend, pod) || !believes(append(others, keys...), token, backend, pod) {
				t.Logf("the honest token %q is not believed", token)
				return false
			}
			if believes(others, token, backend, pod) || believes(nil, token, backend, pod) || believes(keys, token, backend+"x", pod) {
				t.Logf("%q is believed under another key or for another backend", token)
				return false
			}
			for _, forged := range forgeries(t, token) {
				if forged != token && believes(keys, forged, backend, pod) {
					t.Logf("%q, made of %q, is believed", forged, token)
					return false
				}
			}
		}
		if number, ok := keys.Sessions(backend).Number(keys.Sessions(backend).Token(session), &policy.Scratch{}); !ok || number != session {
			t.Logf("session %d is read as %d", session, number)
			return false
		}
		// What names a session never names a Pod, and moving a letter from one part to the other changes the token.
		return !keys.IsPod(keys.Sessions(backend).Token(session), backend, pod) && !keys.IsPod(keys.PodToken(backend+"a", pod), backend, "a"+pod)
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 50}); err != nil {
		t.Error(err)
	}
}

// TestTokensTellNothing: neither the text nor the bytes of a token hold any part of what it was made of, and tokens of Pods whose names
// differ in one letter have nothing in common.
func TestTokensTellNothing(t *testing.T) {
	keys := newKeys()
	const backend, pod = "demo/shop:80", "10.0.3.7:8080"
	for _, token := range []string{keys.PodToken(backend, pod), keys.Sessions(backend).Token(7)} {
		raw, _ := base64.RawURLEncoding.DecodeString(token)
		for _, part := range []string{"10.0.3.7", "8080", "demo", "shop", "\x0a\x00\x03\x07", "\x1f\x90"} {
			if strings.Contains(token, part) || len(part) > 2 && strings.Contains(string(raw), part) {
				t.Errorf("%q tells %q", token, part)
			}
		}
	}
	seen := map[string]bool{}
	for octet := range 256 {
		raw, _ := base64.RawURLEncoding.DecodeString(keys.PodToken(backend, strings.Replace(pod, "7", string(rune(octet)), 1)))
		for i := range len(raw) - 3 {
			if piece := string(raw[i : i+4]); seen[piece] {
				t.Errorf("two tokens have %x in common", piece)
			} else {
				seen[piece] = true
			}
		}
	}
}

// FuzzToken: whatever a client sends as its cookie, it is neither believed nor too much.
func FuzzToken(f *testing.F) {
	keys := policy.StickyKeys{[]byte("0123456789abcdef")}
	sessions := keys.Sessions("b")
	f.Add(keys.PodToken("b", "p"))
	f.Add(sessions.Token(1))
	f.Add("")
	f.Add("10.0.0.1:80")
	f.Fuzz(func(t *testing.T, token string) {
		if keys.IsPod(token, "b", "p") && token != keys.PodToken("b", "p") {
			t.Errorf("%q is believed", token)
		}
		if number, ok := sessions.Number(token, &policy.Scratch{}); ok && token != sessions.Token(number) {
			t.Errorf("%q is believed as session %d", token, number)
		}
	})
}

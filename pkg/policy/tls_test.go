package policy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The suites by OpenSSL's names, as `openssl ciphers -V` pairs them with the registry's.
func TestCipherNames(t *testing.T) {
	for name, want := range map[string]uint16{
		"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
		"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		"ECDHE-RSA-AES128-SHA256":       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
		"AES128-SHA256":                 tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,

		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	} {
		if got := cipherNames()[name]; got != want {
			t.Errorf("%s is %#x, want %#x", name, got, want)
		}
	}
	for name := range cipherNames() {
		if strings.Contains(name, "RC4") || strings.Contains(name, "3DES") || strings.Contains(name, "CBC3") {
			t.Errorf("%s is offered", name)
		}
	}
}

// TestOldVersionsHaveTheirCiphers: TLS 1.0 and 1.1 have no AEAD suites, and would be on in vain without others.
func TestOldVersionsHaveTheirCiphers(t *testing.T) {
	old := TLS{Min: tls.VersionTLS10, Max: tls.VersionTLS13}
	if got := old.CipherSuites(); got != nil {
		t.Errorf("cipher suites %x, want Go's own", got)
	}
}

func TestTLSKeys(t *testing.T) {
	intermediate := "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256"
	const aead = "[c02b c02f c02c c030 cca9 cca8]" // the default, as in ingress-nginx
	cases := []struct{ key, value, want, problem string }{
		{"ssl-protocols", "TLSv1.2 TLSv1.3", "303-304", ""},
		{"ssl-protocols", "TLSv1.3", "304-304", ""},
		{"ssl-protocols", "tlsv1,TLSv1.1 TLSv1.2", "301-303", ""},
		{"ssl-protocols", "TLSv1 TLSv1.2", "301-303", "TLS 1.1 lies between"},
		{"ssl-protocols", "SSLv3 TLSv1.2", "303-303", "Go does not have SSLv3"},
		{"ssl-protocols", "SSLv3", "303-304", "want some of"},
		{"ssl-ciphers", intermediate, "[c02b c02f]", "Go does not have DHE-RSA-AES128-GCM-SHA256"},
		{"ssl-ciphers", "ecdhe-rsa-aes128-gcm-sha256:ECDHE-RSA-AES128-GCM-SHA256", "[c02f]", ""},
		{"ssl-ciphers", "TLS_AES_128_GCM_SHA256:AES128-SHA", "[2f]", ""},
		{"ssl-ciphers", "HIGH:!aNULL:!MD5", aead, "want at least one cipher suite that Go has"},
		{"ssl-ecdh-curve", "auto", "[]", ""},
		{"ssl-ecdh-curve", "X25519MLKEM768:X25519:prime256v1", "[11ec 1d 17]", ""},
		{"ssl-ecdh-curve", "X448:secp384r1", "[18]", "Go does not have X448"},
		{"ssl-ecdh-curve", "X448", "[]", "want auto"},
	}
	for _, c := range cases {
		set, problems := Parse(Default(), Input{Object: Ref{Kind: "Ingress", Name: "a"}, Values: map[string]string{"usher.dev/" + c.key: c.value}, Prefixes: []string{"usher.dev/"}})
		got := map[string]string{
			"ssl-protocols":  fmt.Sprintf("%x-%x", set.TLS.Min, set.TLS.Max),
			"ssl-ciphers":    fmt.Sprintf("%x", set.TLS.CipherSuites()),
			"ssl-ecdh-curve": fmt.Sprintf("%x", curveNumbers(set.TLS.KeyExchanges())),
		}[c.key]
		if got != c.want {
			t.Errorf("%s %q gives %s, want %s", c.key, c.value, got, c.want)
		}
		if c.problem == "" && len(problems) > 0 || c.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, c.problem)) {
			t.Errorf("%s %q: problems %v, want %q", c.key, c.value, problems, c.problem)
		}
	}
}

func curveNumbers(in []tls.CurveID) (out []uint16) {
	for _, c := range in {
		out = append(out, uint16(c))
	}
	return out
}

// The key of session tickets is a secret: no problem, setting or printed Set shows it.
func TestTicketKeyIsHidden(t *testing.T) {
	for value, good := range map[string]bool{
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v": true, // 48 bytes
		"AAECAwQFBgcICQoLDA0ODw==": false,
	} {
		set, problems := ParseConfigMap(Default(), Input{Object: Ref{Kind: "ConfigMap", Name: "config"}, Values: map[string]string{"ssl-session-ticket-key": value}})
		if key := set.TicketKey.Bytes(); (len(key) == 32) != good || (len(problems) == 0) != good {
			t.Errorf("%q: key of %d bytes, problems %v", value, len(key), problems)
		}
		shown := fmt.Sprintf("%v %+v %v", problems, *set, set.Settings())
		if strings.Contains(shown, value) || strings.Contains(shown, string(set.TicketKey.Bytes())) && good {
			t.Errorf("%q is shown: %s", value, shown)
		}
	}
	if set, _ := ParseConfigMap(Default(), Input{Values: map[string]string{"ssl-session-tickets": "false", "ssl-reject-handshake": "true"}}); set.TLS.Tickets || !set.RejectHandshake {
		t.Errorf("got %+v", set.TLS)
	}
	if !slices.ContainsFunc(Keys(), func(k *Key) bool { return k.Hidden }) {
		t.Error("no hidden key")
	}
}

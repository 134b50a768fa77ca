package certs

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

const (
	tsigName   = "usher."
	tsigSecret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
)

// newDNS is a primary server that answers updates with rcode, if they are signed with its key, and notes what they change.
func newDNS(t *testing.T, rcode int) (address string, changes func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []string
	server := &dns.Server{Listener: l, TsigSecret: map[string]string{tsigName: tsigSecret}, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		answer := new(dns.Msg).SetRcode(r, rcode)
		switch {
		case r.IsTsig() == nil || w.TsigStatus() != nil:
			answer.Rcode = dns.RcodeNotAuth
		default:
			answer.SetTsig(tsigName, dns.HmacSHA256, tsigFudge, time.Now().Unix())
			mu.Lock()
			for _, rr := range r.Ns {
				seen = append(seen, strings.ReplaceAll(rr.String(), "\t", " "))
			}
			mu.Unlock()
		}
		_ = w.WriteMsg(answer)
	})
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestDNSUpdate(t *testing.T) {
	key, err := ParseTSIGKey(`key "usher" { algorithm hmac-sha256; secret "` + tsigSecret + `"; };`)
	if err != nil {
		t.Fatal(err)
	}
	address, changes := newDNS(t, dns.RcodeSuccess)
	d := &DNSUpdate{Server: address, Key: key}
	record := []libdns.Record{libdns.RR{Name: "_acme-challenge.shop", Type: "TXT", Data: "token", TTL: time.Minute}}
	if _, err := d.AppendRecords(t.Context(), "example.com", record); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DeleteRecords(t.Context(), "example.com.", record); err != nil {
		t.Fatal(err)
	}
	want := []string{`_acme-challenge.shop.example.com. 60 IN TXT "token"`, `_acme-challenge.shop.example.com. 0 NONE TXT "token"`}
	if got := changes(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("changes %q, want %q", got, want)
	}
}

func TestDNSUpdateFails(t *testing.T) {
	good, _ := ParseTSIGKey(`key usher { algorithm hmac-sha256; secret "` + tsigSecret + `"; };`)
	bad, _ := ParseTSIGKey(`key usher { algorithm hmac-sha256; secret "YmFk"; };`)
	willing, _ := newDNS(t, dns.RcodeSuccess)
	unwilling, _ := newDNS(t, dns.RcodeRefused)
	for name, c := range map[string]struct {
		update *DNSUpdate
		kind   string
		want   string
	}{
		"wrong key": {&DNSUpdate{Server: willing, Key: bad}, "TXT", "not this key (usher., hmac-sha256.)"},
		"no key":    {&DNSUpdate{Server: willing}, "TXT", "NOTAUTH"},
		"refused":   {&DNSUpdate{Server: unwilling, Key: good}, "TXT", "REFUSED"},
		"down":      {&DNSUpdate{Server: "127.0.0.1:1", Key: good}, "TXT", "connection refused"},
		"other":     {&DNSUpdate{Server: willing, Key: good}, "A", "want TXT"},
	} {
		_, err := c.update.AppendRecords(t.Context(), "example.com", []libdns.Record{libdns.RR{Name: "x", Type: c.kind, Data: "192.0.2.1"}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestParseTSIGKey(t *testing.T) {
	key, err := ParseTSIGKey("key \"Usher.Example\" {\n\talgorithm HMAC-SHA512;\n\tsecret \"c2VjcmV0\";\n};\n")
	if err != nil || *key != (TSIGKey{"usher.example.", dns.HmacSHA512, "c2VjcmV0"}) {
		t.Errorf("%+v, %v", key, err)
	}
	for text, want := range map[string]string{
		"":                                  `want key "NAME"`,
		"c2VjcmV0":                          `want key "NAME"`,
		"key a { secret b; };":              "not base64",
		"key a { algorithm hmac-sha256; };": "not base64",
		`key a { algorithm hmac-md5; secret "c2VjcmV0"; }`: "algorithm hmac-md5: want one of hmac-sha1",
	} {
		if _, err := ParseTSIGKey(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is a DNS server, the primary of one zone, that takes signed updates of
// TXT records.
type zone struct {
	name    string // with the dot
	address string
	keyFile string // as tsig-keygen prints it

	mu      sync.Mutex
	texts   []*dns.TXT
	updates []string // every change, as "+ RECORD" or "- RECORD"
}

const zoneSecret = "dXNoZXIncyBzZWNyZXQgZm9yIHRoZSB0ZXN0cyE="

func newZone(t *testing.T, name string) *zone {
	t.Helper()
	n := pebbles.Add(1)
	z := &zone{name: dns.Fqdn(name), address: fmt.Sprintf("127.0.0.1:%d", 24000+10*n), keyFile: filepath.Join(t.TempDir(), "usher.key")}
	key := `key "usher" { algorithm hmac-sha256; secret "` + zoneSecret + `"; };`
	if err := os.WriteFile(z.keyFile, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", z.address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", z.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: listener}} {
		server.Handler, server.TsigSecret = z, map[string]string{"usher.": zoneSecret}
		server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		go func() { _ = server.ActivateAndServe() }()
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return z
}

// flags are usher's for this zone.
func (z *zone) flags() []string {
	return []string{"--acme-dns-server", z.address, "--acme-dns-key-file", z.keyFile, "--acme-dns-resolvers", z.address}
}

// ServeDNS answers a query or an update.
func (z *zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	answer := new(dns.Msg).SetReply(r)
	if r.Opcode == dns.OpcodeUpdate {
		answer.Rcode = z.update(r, r.IsTsig() != nil && w.TsigStatus() == nil)
		if answer.Rcode == dns.RcodeSuccess {
			answer.SetTsig("usher.", dns.HmacSHA256, 300, time.Now().Unix())
		}
	} else {
		answer.Authoritative, answer.Answer = true, z.find(r.Question[0])
	}
	_ = w.WriteMsg(answer)
}

func (z *zone) update(r *dns.Msg, signed bool) int {
	if !signed || r.Question[0].Name != z.name {
		return dns.RcodeNotAuth
	}
	for _, rr := range r.Ns {
		text, ok := rr.(*dns.TXT)
		if !ok {
			return dns.RcodeRefused
		}
		same := func(o *dns.TXT) bool { return o.Hdr.Name == text.Hdr.Name && slices.Equal(o.Txt, text.Txt) }
		what := "- "
		z.texts = slices.DeleteFunc(z.texts, same)
		if text.Hdr.Class == dns.ClassINET {
			what = "+ "
			z.texts = append(z.texts, text)
		}
		z.updates = append(z.updates, what+text.Hdr.Name)
	}
	return dns.RcodeSuccess
}

func (z *zone) find(q dns.Question) (found []dns.RR) {
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 1}
	switch {
	case q.Qtype == dns.TypeSOA && strings.EqualFold(q.Name, z.name):
		return []dns.RR{&dns.SOA{Hdr: header, Ns: "ns." + z.name, Mbox: "admin." + z.name, Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1}}
	case q.Qtype == dns.TypeTXT:
		for _, text := range z.texts {
			if strings.EqualFold(text.Hdr.Name, q.Name) {
				found = append(found, text)
			}
		}
	}
	return found
}

// seen lists the changes so far.
func (z *zone) seen() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.updates)
}

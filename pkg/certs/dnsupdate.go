package certs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
	"go.uber.org/zap"
)

// DNSUpdate is how DNS-01 challenges are answered: by TXT records that the primary server of the zone takes as DNS UPDATE (RFC 2136),
// signed with a shared key (TSIG, RFC 8945). BIND, Knot, PowerDNS, Windows and others do; for a provider with an API of its own, delegate
// the zone _acme-challenge.HOST to one of those.
type DNSUpdate struct {
	Server    string   // host:port of the primary
	Key       *TSIGKey // nil: updates are not signed, for a server that goes by addresses
	Resolvers []string // where the zone of a name and the records are looked up; none: the system's, and then the zone's own servers
	// Only has all names answered so. Otherwise wildcards alone are, for which there is no other challenge.
	Only bool
}

var _ certmagic.DNSProvider = (*DNSUpdate)(nil)

const (
	challengeTTL = time.Minute
	dnsTimeout   = 10 * time.Second
	tsigFudge    = 300 // seconds that the clocks may differ by, as RFC 8945 recommends
)

// solver is certmagic's, which finds the zone, waits until the record is seen, and removes it.
func (d *DNSUpdate) solver(log *zap.Logger) *certmagic.DNS01Solver {
	return &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{DNSProvider: d, TTL: challengeTTL, Resolvers: d.Resolvers, Logger: log}}
}

// AppendRecords adds records to those that are there.
func (d *DNSUpdate) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return d.update(ctx, zone, records, (*dns.Msg).Insert)
}

// DeleteRecords removes exactly these records.
func (d *DNSUpdate) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return d.update(ctx, zone, records, (*dns.Msg).Remove)
}

func (d *DNSUpdate) update(ctx context.Context, zone string, records []libdns.Record, change func(*dns.Msg, []dns.RR)) ([]libdns.Record, error) {
	zone = dns.Fqdn(zone)
	var changed []dns.RR
	for _, r := range records {
		rr := r.RR()
		if rr.Type != "TXT" {
			return nil, fmt.Errorf("a record of type %s: want TXT", rr.Type)
		}
		header := dns.RR_Header{Name: libdns.AbsoluteName(rr.Name, zone), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(rr.TTL / time.Second)}
		changed = append(changed, &dns.TXT{Hdr: header, Txt: []string{rr.Data}})
	}
	message := new(dns.Msg).SetUpdate(zone)
	change(message, changed)
	if err := d.send(ctx, message); err != nil {
		return nil, fmt.Errorf("updating zone %s at %s: %w", zone, d.Server, err)
	}
	return records, nil
}

// send uses TCP, since an update that is repeated because its answer was lost is no better than one that failed.
func (d *DNSUpdate) send(ctx context.Context, message *dns.Msg) error {
	client := &dns.Client{Net: "tcp", Timeout: dnsTimeout}
	if d.Key != nil {
		client.TsigSecret = map[string]string{d.Key.name: d.Key.secret}
		message.SetTsig(d.Key.name, d.Key.algorithm, tsigFudge, time.Now().Unix())
	}
	answer, _, err := client.ExchangeContext(ctx, message, d.Server)
	switch {
	case answer != nil && answer.Rcode == dns.RcodeNotAuth: // which also says that the key is wrong, unsigned
		return fmt.Errorf("the server answers NOTAUTH: it has not this zone, or not this key%s", d.Key.describe())
	case answer != nil && answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("the server answers %s", dns.RcodeToString[answer.Rcode])
	case err != nil:
		return err
	case d.Key != nil && answer.IsTsig() == nil:
		return errors.New("the answer is not signed")
	}
	return nil
}

// TSIGKey is a key that is shared with a DNS server.
type TSIGKey struct{ name, algorithm, secret string }

func (k *TSIGKey) describe() string {
	if k == nil {
		return ""
	}
	return fmt.Sprintf(" (%s, %s)", k.name, k.algorithm)
}

var (
	tsigKey    = regexp.MustCompile(`(?s)^\s*key\s+"?([^"\s{]+)"?\s*\{(.*)\}\s*;?\s*$`)
	tsigOption = regexp.MustCompile(`([a-z]+)\s+"?([^";\s]+)"?\s*;`)
)

// ParseTSIGKey reads a key as tsig-keygen and nsupdate write it:
//
//	key "usher" { algorithm hmac-sha256; secret "c2VjcmV0..."; };
func ParseTSIGKey(text string) (*TSIGKey, error) {
	found := tsigKey.FindStringSubmatch(text)
	if found == nil {
		return nil, errors.New(`want key "NAME" { algorithm hmac-sha256; secret "BASE64"; }; as tsig-keygen prints it`)
	}
	key := &TSIGKey{name: dns.CanonicalName(found[1]), algorithm: dns.HmacSHA256}
	for _, option := range tsigOption.FindAllStringSubmatch(found[2], -1) {
		switch option[1] {
		case "algorithm":
			key.algorithm = dns.CanonicalName(option[2])
		case "secret":
			key.secret = option[2]
		}
	}
	known := []string{dns.HmacSHA1, dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512}
	if !slices.Contains(known, key.algorithm) {
		return nil, fmt.Errorf("algorithm %s: want one of %s", strings.TrimSuffix(key.algorithm, "."), strings.ReplaceAll(strings.Join(known, " "), ".", ""))
	}
	if secret, err := base64.StdEncoding.DecodeString(key.secret); err != nil || len(secret) == 0 {
		return nil, fmt.Errorf("the secret of key %s is not base64", strings.TrimSuffix(key.name, "."))
	}
	return key, nil
}

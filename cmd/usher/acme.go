package main

import (
	"context"
	"crypto/x509"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/certs"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
)

// acmeFlags are about certificates that Usher orders itself. Without an address for the CA there are none.
type acmeFlags struct {
	email      string
	ca         string
	fallbackCA string
	roots      string
	eabKeyID   string
	eabKeyFile string
	folder     string
	secrets    bool
	names      []string
	most       uint
	dns        acmeDNSFlags
}

// acmeDNSFlags are about the DNS-01 challenge. Without a server it is not answered.
type acmeDNSFlags struct {
	server    string
	keyFile   string
	resolvers []string
	only      bool
}

func (f *acmeDNSFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.server, "acme-dns-server", "", "`address` of the zone's primary DNS server, which takes DNS UPDATE (RFC 2136); with it wildcards get certificates too, by DNS-01")
	set.StringVar(&f.keyFile, "acme-dns-key-file", "", "`file` with the TSIG key that updates are signed with, as tsig-keygen prints it; in a cluster a mounted Secret. Updates are not signed when not given")
	set.StringSliceVar(&f.resolvers, "acme-dns-resolvers", nil, "`addresses` of DNS servers to look up zones and challenges at; the system's, and then the zone's own, when not given")
	set.BoolVar(&f.only, "acme-dns-only", false, "answer DNS-01 for all names, not for wildcards alone: for a CA that cannot reach ports 80 and 443")
}

func (f *acmeDNSFlags) check() error {
	if f.server == "" {
		if f.keyFile != "" || len(f.resolvers) > 0 || f.only {
			return usagef("--acme-dns-key-file, --acme-dns-resolvers and --acme-dns-only: want --acme-dns-server too")
		}
		return nil
	}
	if err := wantHost("acme-dns-server", f.server); err != nil {
		return err
	}
	for _, r := range f.resolvers {
		if err := wantHost("acme-dns-resolvers", r); err != nil {
			return err
		}
	}
	return nil
}

func wantHost(flag, address string) error {
	if _, _, err := net.SplitHostPort(withPort(address)); err != nil || strings.HasPrefix(address, ":") {
		return usagef("--%s %q: want a host, or host:port", flag, address)
	}
	return nil
}

// withPort adds the port of DNS to an address that has none.
func withPort(address string) string {
	if ip, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		return net.JoinHostPort(ip.String(), "53")
	}
	if !strings.Contains(address, ":") {
		return address + ":53"
	}
	return address
}

// options reads the key; nil without a server.
func (f *acmeDNSFlags) options() (*certs.DNSUpdate, error) {
	if f.server == "" {
		return nil, nil
	}
	d := &certs.DNSUpdate{Server: withPort(f.server), Only: f.only}
	for _, r := range f.resolvers {
		d.Resolvers = append(d.Resolvers, withPort(r))
	}
	if f.keyFile == "" {
		return d, nil
	}
	text, err := os.ReadFile(f.keyFile)
	if err != nil {
		return nil, usagef("--acme-dns-key-file: %v", err)
	}
	if d.Key, err = certs.ParseTSIGKey(string(text)); err != nil {
		return nil, usagef("--acme-dns-key-file %q: %v", f.keyFile, err)
	}
	return d, nil
}

func (f *acmeFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.email, "acme-email", "", "`address` under which an ACME CA reaches you; with it Usher orders certificates for Ingresses that ask (usher.dev/acme), and you agree to the CA's terms")
	set.StringVar(&f.ca, "acme-ca", certmagic.LetsEncryptProductionCA, "`URL` of the ACME CA's directory; \"internal\" is a CA of Usher's own for development, which needs no --acme-email and whose root the admin port shows at /debug/ca")
	set.StringVar(&f.fallbackCA, "acme-fallback-ca", "", "`URL` of another CA's directory, which is asked when the first one fails")
	set.StringVar(&f.roots, "acme-ca-roots", "", "`file` of PEM certificates to verify the CA's own server with; the system's when not given")
	set.StringVar(&f.eabKeyID, "acme-eab-kid", "", "key `ID` of the external account binding that some CAs ask for")
	set.StringVar(&f.eabKeyFile, "acme-eab-key-file", "", "`file` with the key of the external account binding, base64url as the CA gives it; in a cluster a mounted Secret")
	set.StringVar(&f.folder, "acme-storage", "", "`folder` for accounts, keys and certificates with --manifests; below the user's cache when not given. In a cluster they are Secrets in Usher's own namespace")
	set.BoolVar(&f.secrets, "acme-write-secrets", false, "also write each certificate to the Secret that the Ingress names, as kubernetes.io/tls; a Secret that Usher did not make is never written")
	set.StringSliceVar(&f.names, "acme-names", nil, "`globs` of the names that certificates are ordered for, such as *.example.com, whose * stands for any characters, dots too; all when not given")
	set.UintVar(&f.most, "acme-names-per-namespace", 300, "`number` of names that certificates are ordered for, for the Ingresses of one namespace; those of the oldest come first. 0 is no bound")
	f.dns.register(set)
}

func (f *acmeFlags) on() bool { return f.email != "" || f.ca == certs.InternalCA }

func (f *acmeFlags) check() error {
	if !f.on() {
		return nil
	}
	if local, domain, ok := strings.Cut(f.email, "@"); f.email != "" && (!ok || local == "" || domain == "") {
		return usagef("--acme-email %q: want an address such as admin@example.com", f.email)
	}
	if f.ca != certs.InternalCA && !isDirectory(f.ca) {
		return usagef("--acme-ca %q: want the https URL of an ACME directory", f.ca)
	}
	if f.fallbackCA != "" && !isDirectory(f.fallbackCA) {
		return usagef("--acme-fallback-ca %q: want the https URL of an ACME directory", f.fallbackCA)
	}
	if (f.eabKeyID == "") != (f.eabKeyFile == "") {
		return usagef("--acme-eab-kid and --acme-eab-key-file: want both or none")
	}
	if f.ca == certs.InternalCA && f.fallbackCA != "" {
		return usagef("--acme-fallback-ca %q: want none with the internal CA", f.fallbackCA)
	}
	if err := f.checkNames(); err != nil {
		return err
	}
	return f.dns.check()
}

func (f *acmeFlags) checkNames() error {
	if f.names != nil && len(f.names) == 0 {
		return usagef("--acme-names is empty: want globs such as *.example.com")
	}
	for i, glob := range f.names {
		f.names[i] = strings.ToLower(strings.TrimSpace(glob))
		if _, err := path.Match(f.names[i], ""); err != nil || strings.Trim(f.names[i], ".") == "" || strings.ContainsAny(f.names[i], "/: ") {
			return usagef("--acme-names %q: want a glob of names such as *.example.com", glob)
		}
	}
	if f.most > math.MaxInt32 {
		return usagef("--acme-names-per-namespace %d: want at most %d", f.most, math.MaxInt32)
	}
	return nil
}

func isDirectory(ca string) bool {
	u, err := url.Parse(ca)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// options reads the files that the flags name.
func (f *acmeFlags) options() (certs.ACMEOptions, error) {
	o := certs.ACMEOptions{Email: f.email, CAs: []string{f.ca}}
	if f.fallbackCA != "" {
		o.CAs = append(o.CAs, f.fallbackCA)
	}
	if f.roots != "" {
		pem, err := os.ReadFile(f.roots)
		if err != nil {
			return o, usagef("--acme-ca-roots: %v", err)
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(pem) {
			return o, usagef("--acme-ca-roots %q: want PEM certificates, found none", f.roots)
		}
	}
	if f.eabKeyFile != "" {
		key, err := os.ReadFile(f.eabKeyFile)
		if err != nil {
			return o, usagef("--acme-eab-key-file: %v", err)
		}
		o.EAB = &acme.EAB{KeyID: f.eabKeyID, MACKey: strings.TrimSpace(string(key))}
	}
	var err error
	o.DNS, err = f.dns.options()
	return o, err
}

// newACME makes the part that orders certificates, if it is wanted.
func (s *service) newACME(c *cluster) error {
	f := &s.flags.acme
	if !f.on() {
		return nil
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	if o.Storage, err = f.storage(c); err != nil {
		return err
	}
	if f.secrets && c.client != nil {
		o.Secrets = func(namespace string) certs.Secrets { return c.client.CoreV1().Secrets(namespace) }
		o.Leads = c.leads
	}
	o.Tables, o.Log = s.live, s.log.Named("acme").WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	o.HTTPPort, o.HTTPSPort = int(s.flags.httpPort), int(s.flags.httpsPort)
	if len(s.flags.bind) > 0 {
		o.ListenHost = netip.MustParseAddr(s.flags.bind[0]).String()
	}
	s.acme, err = certs.NewIssuer(o)
	return err
}

// storage is shared by the replicas of a cluster, and a folder without one.
func (f *acmeFlags) storage(c *cluster) (certmagic.Storage, error) {
	if c.client != nil {
		namespace := ownNamespace()
		return certs.NewClusterStorage(c.client.CoreV1().Secrets(namespace), c.client.CoordinationV1().Leases(namespace), ownName()), nil
	}
	folder := f.folder
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, usagef("--acme-storage: want a folder, since the user has no cache: %v", err)
		}
		folder = filepath.Join(cache, "usher", "acme")
	}
	return &certmagic.FileStorage{Path: folder}, nil
}

// tables are the Tables in use, with what ACME adds.
func (s *service) tables() certs.Tables {
	if s.acme != nil {
		return s.acme
	}
	return s.live
}

// acmeReady says why no traffic should come yet because of ACME, or nil.
func (s *service) acmeReady() error {
	if s.acme == nil {
		return nil
	}
	return s.acme.Ready()
}

// authority is the root of the internal CA, if there is one.
func (s *service) authority(ctx context.Context) ([]byte, error) {
	if s.acme == nil {
		return nil, nil
	}
	return s.acme.Root(ctx)
}

// order hands the names of a new Table to whoever orders certificates.
func (s *service) order(t *route.Table) {
	if s.acme != nil {
		s.acme.Use(t)
	}
}

// handler answers the CA's challenges before routing, so that no redirect and no restriction of a route is in their way.
func (s *service) handler() http.Handler {
	if s.acme != nil {
		return s.acme.Answer(s.dataPlane.proxy)
	}
	return s.dataPlane.proxy
}

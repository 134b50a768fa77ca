package certs

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// sites is a Table with hosts of their own settings, and one certificate for all.
func sites(t *testing.T, settings map[string]policy.TLS) *route.Table {
	t.Helper()
	var hosts []*route.Host
	for name, setting := range settings {
		hosts = append(hosts, &route.Host{Name: name, TLS: true, Handshake: &setting})
	}
	table := &route.Table{Hosts: route.NewHosts(hosts), Certificates: &route.Certificates{}, Policy: policy.Default()}
	table.Certificates.Add("*.example.com", certificate(t, rsaKey(), "*.example.com", valid()))
	return table
}

func serving(table *route.Table) *route.Live {
	l := &route.Live{}
	l.Swap(table)
	return l
}

// onlySession gives one session whatever server it is for, as no honest client does.
type onlySession struct{ session *tls.ClientSessionState }

func (o *onlySession) Get(string) (*tls.ClientSessionState, bool)    { return o.session, o.session != nil }
func (o *onlySession) Put(_ string, session *tls.ClientSessionState) { o.session = session }

// visit makes a connection and reads until the server's ticket is there.
func visit(t *testing.T, address string, config *tls.Config) tls.ConnectionState {
	t.Helper()
	config.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil { // the server closes after it
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1))
	return conn.ConnectionState()
}

// The key exchange that recorded traffic cannot be read by a quantum computer later is on without asking.
func TestPostQuantumByDefault(t *testing.T) {
	address := listen(t, newSelector(t, serving(sites(t, nil)), nil))
	if state := visit(t, address, &tls.Config{ServerName: "a.example.com"}); state.CurveID != tls.X25519MLKEM768 || state.Version != tls.VersionTLS13 {
		t.Errorf("got %v, %s", state.CurveID, tls.VersionName(state.Version))
	}
	classic := &tls.Config{ServerName: "a.example.com", CurvePreferences: []tls.CurveID{tls.X25519}}
	if state := visit(t, address, classic); state.CurveID != tls.X25519 {
		t.Errorf("a client without it got %v", state.CurveID)
	}
}

// Every host has its own settings on the one port.
func TestSettingsOfAHost(t *testing.T) {
	modern, old := policy.DefaultTLS(), policy.DefaultTLS()
	modern.Min = tls.VersionTLS13
	old.Min, old.Max, old.Ciphers, old.Curves = tls.VersionTLS10, tls.VersionTLS12, "ECDHE-RSA-AES256-SHA", "prime256v1"
	table := sites(t, map[string]policy.TLS{"modern.example.com": modern, "old.example.com": old})
	address := listen(t, newSelector(t, serving(table), nil))
	try := func(name string, most uint16) (tls.ConnectionState, error) {
		return shake(address, &tls.Config{ServerName: name, MinVersion: tls.VersionTLS10, MaxVersion: most})
	}
	if _, err := try("Modern.Example.com", tls.VersionTLS12); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2 to a host of TLS 1.3: %v", err)
	}
	for name, want := range map[string]uint16{"modern.example.com": tls.VersionTLS13, "old.example.com": tls.VersionTLS12, "other.example.com": tls.VersionTLS13} {
		if state, err := try(name, tls.VersionTLS13); err != nil || state.Version != want {
			t.Errorf("%s: got %s, %v", name, tls.VersionName(state.Version), err)
		}
	}
	if state, err := try("other.example.com", tls.VersionTLS12); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2 to a host without settings: %v", err)
	}
	if _, err := try("other.example.com", tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 to a host without settings")
	}
	state, err := try("old.example.com", tls.VersionTLS11)
	if err != nil || state.CipherSuite != tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA || state.CurveID != tls.CurveP256 {
		t.Errorf("got %s, %v, %v", tls.CipherSuiteName(state.CipherSuite), state.CurveID, err)
	}
}

// Hosts with the same settings share a configuration, and what no host has any more is let go.
func TestVariantsAreFew(t *testing.T) {
	s := newSelector(t, serving(sites(t, nil)), nil)
	of := policy.DefaultTLS()
	of.Min = tls.VersionTLS13
	if s.variant(variant{TLS: of}) != s.variant(variant{TLS: of}) {
		t.Error("the same settings have two configurations")
	}
	for version := range uint16(10 * maxVariants) {
		of.Max = version
		s.variant(variant{TLS: of})
	}
	if n := len(s.variants); n > maxVariants {
		t.Errorf("%d are kept", n)
	}
}

func TestRejectHandshake(t *testing.T) {
	table := sites(t, map[string]policy.TLS{"shop.example.org": policy.DefaultTLS()}) // whose certificate is missing
	address := listen(t, newSelector(t, serving(table), nil))
	if _, err := shake(address, &tls.Config{ServerName: "nobody.example.net"}); err != nil {
		t.Errorf("without the setting: %v", err)
	}
	closed := *table.Policy
	closed.RejectHandshake = true
	table.Policy = &closed
	for name, served := range map[string]bool{"a.example.com": true, "shop.example.org": true, "nobody.example.net": false, "": false} {
		_, err := shake(address, &tls.Config{ServerName: name})
		if served != (err == nil) || err != nil && !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Two servers with one set of keys: a session made at one is resumed at the other, as long as its key is accepted, in both versions.
func TestResumptionAcrossServers(t *testing.T) {
	modern := policy.DefaultTLS()
	modern.Min = tls.VersionTLS13
	tables := serving(sites(t, map[string]policy.TLS{"modern.example.com": modern}))
	here, there := newSelector(t, tables, nil), newSelector(t, tables, nil)
	one, two, three := newTicketKey(), newTicketKey(), newTicketKey()
	for _, name := range []string{"a.example.com", "modern.example.com"} { // the base configuration, and a variant
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if name == "modern.example.com" && version == tls.VersionTLS12 {
				continue
			}
			here.SetTicketKeys([][32]byte{one})
			there.SetTicketKeys([][32]byte{two, one})
			first, second := listen(t, here), listen(t, there)
			fresh := func() *tls.Config {
				return &tls.Config{ServerName: name, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			}
			client := fresh()
			if visit(t, first, client).DidResume {
				t.Fatal("a client without a session resumed")
			}
			if !visit(t, second, client).DidResume {
				t.Errorf("%s, %s: not resumed at the other server", name, tls.VersionName(version))
			}
			client = fresh()
			visit(t, first, client)
			there.SetTicketKeys([][32]byte{three, two})
			if visit(t, second, client).DidResume {
				t.Errorf("%s, %s: resumed with a key that was rotated out", name, tls.VersionName(version))
			}
		}
	}
}

// A session is for the name it was made under: what a host asked of its clients cannot be carried to another.
func TestSessionsStayWithTheirHost(t *testing.T) {
	address := listen(t, newSelector(t, serving(sites(t, nil)), nil))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &onlySession{}
		config := func(name string) *tls.Config {
			return &tls.Config{ServerName: name, MaxVersion: version, ClientSessionCache: cache}
		}
		visit(t, address, config("open.example.com"))
		if visit(t, address, config("closed.example.com")).DidResume {
			t.Errorf("%s: resumed under another name", tls.VersionName(version))
		}
		visit(t, address, config("open.example.com"))
		if !visit(t, address, config("Open.Example.com")).DidResume {
			t.Errorf("%s: not resumed under its own", tls.VersionName(version))
		}
	}
}

func TestTicketsCanBeOff(t *testing.T) {
	table := sites(t, nil)
	off := *table.Policy
	off.TLS.Tickets = false
	table.Policy = &off
	address := listen(t, newSelector(t, serving(table), nil))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{ServerName: "a.example.com", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		visit(t, address, config)
		if visit(t, address, config).DidResume {
			t.Errorf("%s: resumed", tls.VersionName(version))
		}
	}
}

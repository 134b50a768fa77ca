package certs

import (
	"bytes"
	"crypto/tls"
	"slices"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Config is the TLS configuration of a listener: what the Table says for the server name that a client asks for, HTTP/2 before
// HTTP/1.1, and otherwise Go's defaults, which follow the field by themselves: the post-quantum X25519MLKEM768 key exchange first,
// cipher suites with forward secrecy in the order the hardware is good at.
//
// The Config must be used as it is, not cloned per connection, or sessions would not resume.
func (s *Selector) Config() *tls.Config { return s.base }

// newBase makes the configuration that stands for the default settings and holds the keys of session tickets for all others.
func (s *Selector) newBase() *tls.Config {
	config := s.newConfig(variant{TLS: policy.DefaultTLS()})
	config.GetConfigForClient = s.configFor
	config.GetEncryptedClientHelloKeys = s.echKeys
	return config
}

// newConfig does not clone, since a clone would keep the keys of its time; one without keys of its own uses those of the listener's.
func (s *Selector) newConfig(of variant) *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	if of.OnlyHTTP1 {
		protocols = protocols[1:]
	}
	config := &tls.Config{
		MinVersion:             of.Min,
		MaxVersion:             of.Max,
		CipherSuites:           of.CipherSuites(),
		CurvePreferences:       of.KeyExchanges(),
		SessionTicketsDisabled: !of.Tickets,
		NextProtos:             protocols,
		GetCertificate:         s.GetCertificate,
		WrapSession:            s.wrapSession,
		UnwrapSession:          s.unwrapSession,
	}
	if of.asks != nil {
		s.askClients(config, of.asks)
	}
	return config
}

// configFor is what a client may agree on with the host it asks for; nil is the listener's own configuration.
func (s *Selector) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if s.acme != nil {
		if config := s.acme.challenge(hello); config != nil {
			return config, nil
		}
	}
	t := s.tables.Load()
	if t == nil {
		return nil, nil
	}
	var buffer [maxName]byte
	name := canonicalName(hello.ServerName, &buffer)
	wanted := variant{TLS: t.Handshake(name), asks: t.CertificateRequest(name)}
	if wanted == (variant{TLS: policy.DefaultTLS()}) {
		return nil, nil
	}
	return s.variant(wanted), nil
}

// echKeys are the Table's; none leaves the extension, which browsers send to everybody, alone.
func (s *Selector) echKeys(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	if t := s.tables.Load(); t != nil {
		return t.ECH, nil
	}
	return nil, nil
}

// maxVariants bounds what is kept of settings that no host has any more.
const maxVariants = 256

// variant is what makes a configuration differ from others.
type variant struct {
	policy.TLS
	asks *route.CertificateRequest // nil asks for no client certificate
}

// variant gives the configuration for settings, one for all hosts that share them.
func (s *Selector) variant(of variant) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.variants[of]
	if config == nil {
		if len(s.variants) >= maxVariants {
			clear(s.variants)
		}
		config = s.newConfig(of)
		s.variants[of] = config
	}
	return config
}

// A session is resumed only under the name it was made for. TLS would allow any (RFC 8446 section 4.6.1): a client could carry what one
// host agreed to, such as a client certificate it asked for, to another. Browsers never do.

func (s *Selector) wrapSession(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
	session.Extra = append(session.Extra, sessionName(state.ServerName))
	return s.base.EncryptTicket(state, session)
}

func (s *Selector) unwrapSession(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
	session, err := s.base.DecryptTicket(ticket, state)
	if err != nil || session == nil || !marked(session, sessionName(state.ServerName)) {
		return nil, err
	}
	return session, nil
}

// marked reports whether a session was made with this among its extra fields.
func marked(session *tls.SessionState, mark []byte) bool {
	return slices.ContainsFunc(session.Extra, func(extra []byte) bool { return bytes.Equal(extra, mark) })
}

// sessionName marks what is ours among the extra fields of a session.
func sessionName(server string) []byte {
	var buffer [maxName]byte
	return []byte("usher:" + canonicalName(server, &buffer))
}

// SetTicketKeys replaces the keys of session tickets: the first makes them, all are accepted. Until it is called they are this
// process's own, which Go rotates daily.
func (s *Selector) SetTicketKeys(keys [][32]byte) { s.base.SetSessionTicketKeys(keys) }

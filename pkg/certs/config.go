package certs

import "crypto/tls"

// Config is the TLS configuration of a listener: TLS 1.2 and up, HTTP/2 before HTTP/1.1, and otherwise Go's defaults, which follow
// the field by themselves: the post-quantum X25519MLKEM768 key exchange first, cipher suites with forward secrecy in the order the
// hardware is good at, session tickets under keys that Go rotates daily.
//
// The Config must be used as it is, not cloned per connection, or sessions would not resume.
func (s *Selector) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: s.GetCertificate,
	}
}

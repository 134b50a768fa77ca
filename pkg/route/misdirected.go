package route

import "github.com/usher-ingress/usher/pkg/policy"

// Misdirected reports whether a request came on a TLS connection that was made for another host with other handshake settings
// (RFC 9110 section 15.5.20), so that what its own host demands of a handshake was never asked of this client. server is the name
// in the handshake, asked the host of the request (both lower case), and m what answers that.
//
// For example, with ssl-protocols "TLSv1.3" on pay.example.com, a connection that agreed on TLS 1.2 for shop.example.com is not good
// for pay.example.com, nor is one whose handshake named no server. A host that wants no client certificates is served on a connection
// that was asked for one.
func (t *Table) Misdirected(server, asked string, m Match) bool {
	if server == asked || m.Host == nil && m.Route == nil {
		return false
	}
	made := t.Hosts.Find(server)
	if made == m.Host {
		return false
	}
	if t.handshakeOf(made) != t.handshakeOf(m.Host) {
		return true
	}
	auth := t.ClientAuth(m)
	wants := auth != nil && auth.Broken == "" && auth.Policy.Verify != policy.VerifyOff
	return wants && server != "" // a handshake without a name showed no certificate, and is judged by that
}

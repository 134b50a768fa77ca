package route

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
)

// ClientAuth is what a route wants of its clients' certificates.
type ClientAuth struct {
	Policy *policy.ClientCert
	CAs    *ClientCAs // nil when Broken says why there are none
	// Broken, when not empty, is why nobody can be judged, so that everybody is answered 503.
	Broken policy.Reason
	Origin policy.Origin // the annotation that asks for it
}

// Asks reports whether handshakes are to ask for a certificate.
func (a *ClientAuth) Asks() bool {
	return a != nil && a.Broken == "" && a.Policy.Verify != policy.VerifyOff
}

// Restricts reports whether there are clients that are not let in.
func (a *ClientAuth) Restricts() bool {
	return a != nil && (a.Broken != "" || a.Policy.Verify != policy.VerifyOff)
}

// CertificateRequest is what a handshake tells the client when it asks for a certificate: the names of the CAs that count. The client
// chooses by them; nothing is verified by it.
type CertificateRequest struct {
	CAs *x509.CertPool
	ID  string // the same for the same CAs
}

// NewCertificateRequest makes one for several sets of CAs, nil for none.
func NewCertificateRequest(sets []*ClientCAs) *CertificateRequest {
	switch len(sets) {
	case 0:
		return nil
	case 1:
		return sets[0].Request
	}
	pool, sum := x509.NewCertPool(), sha256.New()
	sorted := slices.SortedFunc(slices.Values(sets), func(a, b *ClientCAs) int { return strings.Compare(a.Request.ID, b.Request.ID) })
	for _, set := range sorted {
		sum.Write([]byte(set.Request.ID))
		for _, c := range set.bundle {
			pool.AddCert(c)
		}
	}
	return &CertificateRequest{CAs: pool, ID: hex.EncodeToString(sum.Sum(nil))}
}

// ClientCAs are the CAs of one Secret, and the revocation lists beside them.
type ClientCAs struct {
	Secret  policy.Ref
	Request *CertificateRequest

	bundle               []*x509.Certificate
	roots, intermediates *x509.CertPool
	lists                []*revocations
	revokes              bool // certificates have to be on good lists, as in OpenSSL once there is one
}

// revocations are one list (RFC 5280 section 5). It is kept without its entries, which are in serials.
type revocations struct {
	*x509.RevocationList
	serials map[string]struct{}
	signers map[string]bool // certificates of the bundle, by their DER, that have signed it
}

// NewClientCAs takes the certificates of ca.crt and the lists of ca.crl; lists is nil where there is no ca.crl.
//
// As in OpenSSL a chain has to end at a certificate whose issuer is not in the bundle: an intermediate CA beside its root is no end.
func NewClientCAs(secret policy.Ref, bundle []*x509.Certificate, lists []*x509.RevocationList) *ClientCAs {
	cas := &ClientCAs{Secret: secret, bundle: bundle, roots: x509.NewCertPool(), intermediates: x509.NewCertPool(), revokes: lists != nil}
	all, sum := x509.NewCertPool(), sha256.New()
	subjects := map[string]bool{}
	for _, c := range bundle {
		subjects[string(c.RawSubject)] = true
	}
	for _, c := range bundle {
		all.AddCert(c)
		sum.Write(c.Raw)
		if selfIssued(c) || !subjects[string(c.RawIssuer)] {
			cas.roots.AddCert(c)
		} else {
			cas.intermediates.AddCert(c)
		}
	}
	cas.Request = &CertificateRequest{CAs: all, ID: hex.EncodeToString(sum.Sum(nil))}
	for _, list := range lists {
		cas.lists = append(cas.lists, newRevocations(list, bundle))
	}
	return cas
}

// Count tells how many certificates and lists there are.
func (s *ClientCAs) Count() (certificates, lists int) { return len(s.bundle), len(s.lists) }

func selfIssued(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

func newRevocations(list *x509.RevocationList, bundle []*x509.Certificate) *revocations {
	r := &revocations{RevocationList: list, serials: make(map[string]struct{}, len(list.RevokedCertificateEntries)), signers: map[string]bool{}}
	for i := range list.RevokedCertificateEntries {
		r.serials[string(list.RevokedCertificateEntries[i].SerialNumber.Bytes())] = struct{}{}
	}
	for _, c := range bundle {
		if string(c.RawSubject) == string(list.RawIssuer) && list.CheckSignatureFrom(c) == nil {
			r.signers[string(c.Raw)] = true
		}
	}
	return r
}

func (r *revocations) signedBy(c *x509.Certificate) bool {
	return r.signers[string(c.Raw)] || r.CheckSignatureFrom(c) == nil
}

// maxShown is how many certificates of a client are looked at.
const maxShown = 16

// What OpenSSL says of certificates; applications read it in ssl-client-verify.
const (
	failExpired      = "certificate has expired"
	failNotYet       = "certificate is not yet valid"
	failTooLong      = "certificate chain too long"
	failPurpose      = "unsuitable certificate purpose"
	failNotCA        = "invalid CA certificate"
	failPathLength   = "path length constraint exceeded"
	failSelfSigned   = "self-signed certificate"
	failSelfInChain  = "self-signed certificate in certificate chain"
	failFirst        = "unable to verify the first certificate"
	failIssuer       = "unable to get local issuer certificate"
	failNames        = "permitted subtree violation"
	failCritical     = "unhandled critical extension"
	failRejected     = "certificate rejected"
	failRevoked      = "certificate revoked"
	failNoList       = "unable to get certificate CRL"
	failListExpired  = "CRL has expired"
	failListTooEarly = "CRL is not yet valid"
)

// Verify judges what a client showed, its own certificate first. depth is how many intermediate CAs a chain may have.
func (s *ClientCAs) Verify(shown []*x509.Certificate, depth int, now time.Time) policy.Verdict {
	if len(shown) == 0 {
		return policy.Verdict{}
	}
	if len(shown) > maxShown {
		return policy.Verdict{Shown: true, Failure: failTooLong}
	}
	intermediates := s.intermediates.Clone()
	for _, c := range shown[1:] {
		intermediates.AddCert(c)
	}
	chains, err := shown[0].Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return failed(shown, err, now)
	}
	// To OpenSSL a chain that is longer than it may be is one without an end.
	verdict := policy.Verdict{Shown: true, Failure: failIssuer, Unknown: true}
	for _, chain := range chains {
		if len(chain)-2 > depth {
			continue
		}
		if verdict = (policy.Verdict{Shown: true, Failure: s.revoked(chain, now)}); verdict.Failure == "" {
			break
		}
	}
	return verdict
}

// failed says in OpenSSL's words why no chain was found.
func failed(shown []*x509.Certificate, err error, now time.Time) policy.Verdict {
	v := policy.Verdict{Shown: true, Failure: failRejected}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		v.Unknown = true
		switch last := shown[len(shown)-1]; {
		case len(shown) == 1 && selfIssued(last):
			v.Failure = failSelfSigned
		case len(shown) == 1:
			v.Failure = failFirst
		case selfIssued(last):
			v.Failure = failSelfInChain
		default:
			v.Failure = failIssuer
		}
		return v
	}
	if _, critical := errors.AsType[x509.UnhandledCriticalExtension](err); critical {
		v.Failure = failCritical
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		v.Failure = invalidity(invalid, now)
	}
	return v
}

func invalidity(err x509.CertificateInvalidError, now time.Time) string {
	switch err.Reason {
	case x509.Expired:
		if err.Cert != nil && now.Before(err.Cert.NotBefore) {
			return failNotYet
		}
		return failExpired
	case x509.IncompatibleUsage:
		return failPurpose
	case x509.NotAuthorizedToSign:
		return failNotCA
	case x509.TooManyIntermediates:
		return failPathLength
	case x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage, x509.TooManyConstraints, x509.UnconstrainedName:
		return failNames
	}
	return failRejected
}

// revoked looks for every certificate of a chain on a list of its issuer, and says what is wrong; "" if nothing is.
func (s *ClientCAs) revoked(chain []*x509.Certificate, now time.Time) string {
	if !s.revokes {
		return ""
	}
	for i, c := range chain {
		issuer := c
		if i+1 < len(chain) {
			issuer = chain[i+1]
		} else if !selfIssued(c) {
			continue // trusted as it is
		}
		if failure := s.listed(c, issuer, now); failure != "" {
			return failure
		}
	}
	return ""
}

func (s *ClientCAs) listed(c, issuer *x509.Certificate, now time.Time) string {
	failure, good := failNoList, false
	for _, list := range s.lists {
		if string(list.RawIssuer) != string(c.RawIssuer) || !list.signedBy(issuer) {
			continue
		}
		if _, on := list.serials[string(c.SerialNumber.Bytes())]; on {
			return failRevoked
		}
		switch {
		case now.Before(list.ThisUpdate):
			failure = failListTooEarly
		case !list.NextUpdate.IsZero() && now.After(list.NextUpdate):
			failure = failListExpired
		default:
			good = true
		}
	}
	if good {
		return ""
	}
	return failure
}

// ClientAuth is what counts for a request: what its route wants, or for what no route of its host claims what the host wants.
func (t *Table) ClientAuth(m Match) *ClientAuth {
	switch {
	case m.Route != nil && (m.Route.ClientAuth != nil || m.Route != t.Default && m.Route != t.Fallback):
		return m.Route.ClientAuth
	case m.Host != nil:
		return m.Host.ClientAuth
	}
	return nil
}

// CertificateRequest is what a handshake for a server name (lower case) tells the client about certificates; nil asks for none.
func (t *Table) CertificateRequest(name string) *CertificateRequest {
	if host := t.Hosts.Find(name); host != nil {
		return host.Asks
	}
	if t.Default != nil && t.Default.ClientAuth.Asks() {
		return t.Default.ClientAuth.CAs.Request
	}
	return nil
}

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certificates is about what handshakes are answered with.
type certificates struct {
	expiry *samples
	served *prometheus.CounterVec
}

func newCertificates(m *Metrics) certificates {
	return certificates{
		expiry: m.samples("certificate_not_after_timestamp_seconds",
			"When a certificate in use expires, in seconds since 1970. Alert on this minus time().", "secret_namespace", "secret", "host"),
		served: m.counters("tls_certificates_served_total",
			"TLS handshakes by what answered them: a certificate for the name, the default one, or the self-signed fallback. "+
				"A rising count of fallback is a certificate that is missing.", "source"),
	}
}

// Certificate is one that is in use.
type Certificate struct {
	Namespace, Secret string // where it comes from
	Host              string // the first name it is valid for
	NotAfter          time.Time
}

// Certificates replaces the certificates in use.
func (m *Metrics) Certificates(all []Certificate) {
	list := make([]sample, 0, len(all))
	for _, c := range all {
		list = append(list, sample{float64(c.NotAfter.Unix()), []string{c.Namespace, c.Secret, c.Host}})
	}
	m.certs.expiry.replace(list)
}

// CertificateServed counts a handshake by the step that gave its certificate; see package certs.
func (m *Metrics) CertificateServed(source string) { m.certs.served.WithLabelValues(source).Inc() }

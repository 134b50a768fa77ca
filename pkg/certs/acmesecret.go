package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/pkg/route"
)

// A certificate that ACME gave is written to the Secret that the Ingress's entry names, where that is wanted, for whoever else reads it:
//
//   - in the Ingress's own namespace, whatever the entry says: a name cannot lead out of it;
//   - for an entry with one host, since Usher orders a certificate for each host, and a Secret holds one;
//   - never over a Secret that Usher did not make, which it knows by an annotation;
//   - by the replica that leads, when the Secret does not hold the certificate already.
//
// A Secret stays when its Ingress goes: others may use it.

// hostAnnotation is object.ACMEHost, by which the resolver knows these Secrets.
const hostAnnotation = "usher.dev/acme-host"

const (
	writeCall  = 10 * time.Second
	writeAgain = time.Minute // after a failure
)

// errNotOurs is why a Secret is left alone.
var errNotOurs = errors.New("it exists, and Usher did not make it")

// toWrite is a certificate that is not in its Secret.
type toWrite struct {
	route.ACMEName
	certificate *route.Certificate
}

// unwritten lists what is to be written now, and notes for the rest why it is not.
func (i *Issuer) unwritten(now time.Time) []toWrite {
	if i.options.Secrets == nil || !i.options.Leads() {
		return nil
	}
	certificates := i.issued.Load().certificates
	i.mu.Lock()
	defer i.mu.Unlock()
	owners := i.secretOwners()
	var list []toWrite
	for name, m := range i.names {
		w, c := m.wanted, certificates[name]
		owner := owners[secretOf(w)]
		switch {
		case w.Secret == "" || c == nil || now.Before(m.rewrite):
		case w.Written != nil && bytes.Equal(w.Written.TLS.Certificate[0], c.TLS.Certificate[0]):
			m.unwritten = ""
		case w.Shared:
			m.unwritten = "the entry lists several hosts, and each has a certificate of its own: want one host and one secretName in each entry"
		case owner != name:
			m.unwritten = "it is for the certificate of " + owner + ": want another secretName"
		default:
			list = append(list, toWrite{w, c})
		}
	}
	return list
}

// secretOwners gives for each Secret that names want, by namespace and name, the one it is for: the first in order, so that it does not
// go back and forth.
func (i *Issuer) secretOwners() map[string]string {
	owners := map[string]string{}
	for name, m := range i.names {
		if m.wanted.Shared {
			continue
		}
		if owner, ok := owners[secretOf(m.wanted)]; !ok || name < owner {
			owners[secretOf(m.wanted)] = name
		}
	}
	return owners
}

func secretOf(w route.ACMEName) string { return w.Origin.Object.Namespace + "/" + w.Secret }

// write writes certificates to their Secrets.
func (i *Issuer) write(ctx context.Context, list []toWrite) {
	for _, w := range list {
		err := writeSecret(ctx, i.options.Secrets(w.Origin.Object.Namespace), w)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			i.options.Log.Warn("a certificate of ACME is not written to its Secret", zap.String("secret", secretOf(w.ACMEName)), zap.Error(err))
		}
		i.update(w.Name, func(m *managed) {
			m.rewrite, m.unwritten = time.Now().Add(writeAgain), ""
			if err != nil {
				m.unwritten = err.Error()
			}
		})
	}
}

// writeSecret creates the Secret, or changes it if it is ours. The API server refuses if somebody was faster.
func writeSecret(ctx context.Context, secrets Secrets, w toWrite) error {
	ctx, cancel := context.WithTimeout(ctx, writeCall)
	defer cancel()
	data, err := secretData(w.certificate.TLS)
	if err != nil {
		return err
	}
	found, err := secrets.Get(ctx, w.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.Origin.Object.Namespace, Name: w.Secret,
				Labels:      map[string]string{"app.kubernetes.io/managed-by": "usher"},
				Annotations: map[string]string{hostAnnotation: w.Name},
			},
			Type: corev1.SecretTypeTLS,
			Data: data,
		}, metav1.CreateOptions{})
		return err
	}
	switch {
	case err != nil:
		return err
	case found.Annotations[hostAnnotation] == "":
		return errNotOurs
	case found.Annotations[hostAnnotation] == w.Name && bytes.Equal(found.Data[corev1.TLSCertKey], data[corev1.TLSCertKey]):
		return nil
	}
	found = found.DeepCopy()
	found.Annotations[hostAnnotation], found.Data = w.Name, data
	_, err = secrets.Update(ctx, found, metav1.UpdateOptions{})
	return err
}

func secretData(pair *tls.Certificate) (map[string][]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	return map[string][]byte{corev1.TLSCertKey: toPEM("CERTIFICATE", pair.Certificate...), corev1.TLSPrivateKeyKey: toPEM("PRIVATE KEY", key)}, nil
}

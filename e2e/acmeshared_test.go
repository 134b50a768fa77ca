//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usher-ingress/usher/e2e/cluster"
	"github.com/usher-ingress/usher/pkg/certs"
)

// TestACMESecrets: certificates are also Secrets, with the rights that are
// shipped for it. One that is deleted is written again, and somebody's is left
// alone.
func TestACMESecrets(t *testing.T) {
	s := newACMEScene(t, cluster.Grant{File: shipped + "clusterrole-acme-secrets.yaml"})
	s.apply(`{apiVersion: v1, kind: Secret, metadata: {name: taken-example}, stringData: {mine: "yes"}}`)
	s.asksACME("secret.example", "taken.example")
	p := newPebble(t, pebbleOptions{})
	p.resolve("secret.example", 1)
	u := s.usher(append(p.flags(), "--acme-write-secrets")...)
	state := u.awaitLeaf(p, "secret.example", nil)
	secrets := s.client.CoreV1().Secrets(s.namespace)
	written := func() error {
		found, err := secrets.Get(t.Context(), "secret-example", metav1.GetOptions{})
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(found.Data[corev1.TLSCertKey], found.Data[corev1.TLSPrivateKeyKey])
		if err != nil || found.Type != corev1.SecretTypeTLS || !pair.Leaf.Equal(state.PeerCertificates[0]) {
			return fmt.Errorf("the Secret, of type %s, holds another certificate: %w", found.Type, err)
		}
		return nil
	}
	await(t, written)
	s.remove("Secret", "secret-example")
	await(t, written)

	if found, err := secrets.Get(t.Context(), "taken-example", metav1.GetOptions{}); err != nil || string(found.Data["mine"]) != "yes" || len(found.Data) != 1 {
		t.Errorf("somebody's Secret has become %v, %v", found, err)
	}
}

// TestACMEHolderKilled: a replica dies while it orders, and another one, which
// has waited for its lock, gets the certificate.
func TestACMEHolderKilled(t *testing.T) {
	s := newACMEScene(t)
	s.asksACME("orphan.example")
	p := newPebble(t, pebbleOptions{environment: []string{"PEBBLE_VA_NOSLEEP=0", "PEBBLE_VA_SLEEPTIME=15"}})
	p.resolve("orphan.example", 2)
	a, b := s.start(p.flags()...), s.start(p.flags()...)
	holder, other := a, b
	await(t, func() error {
		switch name := s.lockHolder("issue_cert_orphan.example"); {
		case strings.HasPrefix(name, a.name+"/"):
			return nil
		case strings.HasPrefix(name, b.name+"/"):
			holder, other = b, a
			return nil
		default:
			return fmt.Errorf("the lock is held by %q", name)
		}
	})
	await(t, func() error { // the CA is at the challenge, which takes it a while
		if !strings.Contains(p.process.Log(), "Added order ") {
			return errors.New("nothing is ordered yet")
		}
		return nil
	})
	holder.process.Kill()
	p.resolveTo("orphan.example", other.address)
	awaitFor(t, 3*patience, func() error { // the lock's term, and the CA's pause
		_, err := other.leaf(p, "orphan.example")
		return err
	})
	if n := p.issued(); n != 1 {
		t.Errorf("the CA issued %d certificates, want 1", n)
	}
	if err := other.stop(); err != nil {
		t.Error(err)
	}
	other.isPermitted()
}

// TestACMEStorage has two replicas' storages write the same keys of a real API
// server at once: every reader sees one whole value, the last writer of a lock
// that was lost is refused, and what is over the limit of a Secret is split.
func TestACMEStorage(t *testing.T) {
	s := emptyScene(t)
	secrets, leases := s.client.CoreV1().Secrets(s.system), s.client.CoordinationV1().Leases(s.system)
	a, b := certs.NewClusterStorage(secrets, leases, "a"), certs.NewClusterStorage(secrets, leases, "b")
	values := make([][]byte, 4)
	for n := range values {
		values[n] = make([]byte, 1<<20+n) // random, so that it does not compress: more than one Secret
		_, _ = rand.Read(values[n])
	}
	const key = "certificates/ca/shop.example/shop.example.crt"
	var writers sync.WaitGroup
	for n, storage := range []*certs.ClusterStorage{a, b, a, b} {
		writers.Go(func() {
			for range 3 {
				if err := storage.Store(t.Context(), key, values[n]); err != nil {
					t.Errorf("storing: %v", err)
				}
				found, err := storage.Load(t.Context(), key)
				if err != nil || !isOneOf(found, values) {
					t.Errorf("loaded %d bytes that nobody has stored whole, %v", len(found), err)
				}
			}
		})
	}
	writers.Wait()
	list, err := secrets.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("%d Secrets for one value of two parts, %v", len(list.Items), err)
	}
	s.losesItsLock(a, key)
	if err := b.Delete(t.Context(), "certificates"); err != nil {
		t.Error(err)
	}
	if list, err = secrets.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%d Secrets are left, %v", len(list.Items), err)
	}
}

func isOneOf(value []byte, all [][]byte) bool {
	for _, one := range all {
		if bytes.Equal(value, one) {
			return true
		}
	}
	return false
}

// losesItsLock: what is stored under a lock that somebody else took is refused.
func (s *scene) losesItsLock(storage *certs.ClusterStorage, key string) {
	s.t.Helper()
	const name = "issue_cert_shop.example"
	if err := storage.Lock(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
	if err := storage.Store(s.t.Context(), key, []byte("mine")); err != nil {
		s.t.Errorf("under the lock: %v", err)
	}
	leases := s.client.CoordinationV1().Leases(s.system)
	list, err := leases.List(s.t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		s.t.Fatalf("locks: %v, %v", list, err)
	}
	lease, thief := list.Items[0].DeepCopy(), "somebody else"
	lease.Spec.HolderIdentity = &thief
	if _, err := leases.Update(s.t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, func() error {
		if err := storage.Store(s.t.Context(), key, []byte("late")); !errors.Is(err, certs.ErrLockLost) {
			return fmt.Errorf("a write under a lost lock gives %v", err)
		}
		return nil
	})
	_ = storage.Unlock(context.WithoutCancel(s.t.Context()), name) // it is not ours any more
}

// lockHolder is who holds a lock of ACME's storage; empty if nobody.
func (s *scene) lockHolder(name string) string {
	list, err := s.client.CoordinationV1().Leases(s.system).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range list.Items {
		if l := &list.Items[i]; l.Annotations["usher.dev/acme-lock"] == name && l.Spec.HolderIdentity != nil {
			return *l.Spec.HolderIdentity
		}
	}
	return ""
}

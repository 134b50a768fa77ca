package certs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// store is what an API server does with objects of one kind: versions, conflicts, and the limit of a Secret.
type store[T metav1.Object] struct {
	mu      sync.Mutex
	objects map[string]T
	version int
	copied  func(T) T
	before  func() // called before a write; may be nil
	down    error
}

var secretKind = schema.GroupResource{Resource: "objects"}

func (s *store[T]) Get(_ context.Context, name string, _ metav1.GetOptions) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	if s.down != nil {
		return o, s.down
	}
	if !ok {
		return o, apierrors.NewNotFound(secretKind, name)
	}
	return s.copied(o), nil
}

func (s *store[T]) Create(_ context.Context, o T, _ metav1.CreateOptions) (T, error) {
	return s.write(o, false)
}
func (s *store[T]) Update(_ context.Context, o T, _ metav1.UpdateOptions) (T, error) {
	return s.write(o, true)
}

func (s *store[T]) write(o T, update bool) (T, error) {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.objects[o.GetName()]
	switch {
	case s.down != nil:
		return o, s.down
	case !update && ok:
		return o, apierrors.NewAlreadyExists(secretKind, o.GetName())
	case update && !ok:
		return o, apierrors.NewNotFound(secretKind, o.GetName())
	case update && o.GetResourceVersion() != old.GetResourceVersion():
		return o, apierrors.NewConflict(secretKind, o.GetName(), errors.New("changed"))
	}
	s.version++
	o = s.copied(o)
	o.SetResourceVersion(strconv.Itoa(s.version))
	if !ok {
		o.SetUID(types.UID("uid-" + strconv.Itoa(s.version)))
	}
	s.objects[o.GetName()] = o
	return s.copied(o), nil
}

func (s *store[T]) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[name]; !ok {
		return apierrors.NewNotFound(secretKind, name)
	}
	delete(s.objects, name)
	return nil
}

type secretStore struct{ store[*corev1.Secret] }

func (s *secretStore) List(_ context.Context, o metav1.ListOptions) (*corev1.SecretList, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &corev1.SecretList{}
	for _, secret := range s.objects {
		if selector.Matches(labels.Set(secret.Labels)) {
			list.Items = append(list.Items, *secret.DeepCopy())
		}
	}
	return list, nil
}

func newStores() (*secretStore, *store[*coordinationv1.Lease]) {
	return &secretStore{store[*corev1.Secret]{objects: map[string]*corev1.Secret{}, copied: (*corev1.Secret).DeepCopy}},
		&store[*coordinationv1.Lease]{objects: map[string]*coordinationv1.Lease{}, copied: (*coordinationv1.Lease).DeepCopy}
}

func TestStorageKeepsValues(t *testing.T) {
	secrets, leases := newStores()
	s, ctx := NewClusterStorage(secrets, leases, "a"), t.Context()
	values := map[string]string{"certificates/ca/a.example/a.example.crt": "chain", "certificates/ca/a.example/a.example.key": "",
		"certificates/ca/wildcard_.b.example/x.json": "{}", "last_clean.json": "now"}
	for key, value := range values {
		if err := s.Store(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range values {
		if got, err := s.Load(ctx, key); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", key, got, err, want)
		}
		if info, err := s.Stat(ctx, key); err != nil || !info.IsTerminal || info.Size != int64(len(want)) || info.Modified.IsZero() {
			t.Errorf("Stat(%s) is %+v, %v", key, info, err)
		}
	}
	listed, err := s.List(ctx, "certificates/ca", false)
	if want := []string{"certificates/ca/a.example", "certificates/ca/wildcard_.b.example"}; err != nil || !slices.Equal(listed, want) {
		t.Errorf("listed %v, %v, want %v", listed, err, want)
	}
	listed, err = s.List(ctx, "certificates/ca/a.example", true)
	if want := []string{"certificates/ca/a.example/a.example.crt", "certificates/ca/a.example/a.example.key"}; err != nil || !slices.Equal(listed, want) {
		t.Errorf("listed %v, %v, want %v", listed, err, want)
	}
	if info, err := s.Stat(ctx, "certificates"); err != nil || info.IsTerminal || s.Exists(ctx, "certificates/c") {
		t.Errorf("a folder is %+v, %v; a part of its name exists: %v", info, err, s.Exists(ctx, "certificates/c"))
	}
	if err := s.Delete(ctx, "certificates/ca/a.example"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to delete
		if err := s.Delete(ctx, "last_clean.json"); err != nil {
			t.Fatal(err)
		}
	}
	if len(secrets.objects) != 1 || s.Exists(ctx, "certificates/ca/a.example") {
		t.Errorf("%d Secrets are left, want 1", len(secrets.objects))
	}
	if _, err := s.Load(ctx, "certificates/ca/a.example/a.example.crt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deleted key gives %v", err)
	}
}

// TestStorageSplits stores more than a Secret holds, then less: no part may be left over.
func TestStorageSplits(t *testing.T) {
	secrets, leases := newStores()
	s := NewClusterStorage(secrets, leases, "a")
	big := make([]byte, 2*partSize+7)
	_, _ = rand.Read(big)
	for n, value := range [][]byte{big, big[:partSize+9], []byte("small")} {
		if err := s.Store(t.Context(), "k", value); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(t.Context(), "k"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%d bytes came back as %d, %v", len(value), len(got), err)
		}
		if want := 3 - n; len(secrets.objects) != want {
			t.Errorf("%d bytes are in %d Secrets, want %d", len(value), len(secrets.objects), want)
		}
	}
	for _, secret := range secrets.objects {
		if secret.Labels[storageLabel] != labelValue || string(secret.Data[dataKey]) != "k" {
			t.Errorf("left is %v", secret.Labels)
		}
	}
}

// TestStorageConflict has another replica write between reading and writing: the write is seen as a conflict and tried again.
func TestStorageConflict(t *testing.T) {
	secrets, leases := newStores()
	a, b := NewClusterStorage(secrets, leases, "a"), NewClusterStorage(secrets, leases, "b")
	for _, before := range []string{"", "there"} {
		if before != "" {
			if err := a.Store(t.Context(), "k", []byte(before)); err != nil {
				t.Fatal(err)
			}
		}
		secrets.before = func() {
			if err := b.Store(t.Context(), "k", []byte("theirs")); err != nil {
				t.Error(err)
			}
		}
		if err := a.Store(t.Context(), "k", []byte("ours")); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Load(t.Context(), "k"); err != nil || string(got) != "ours" {
			t.Errorf("found %q, %v", got, err)
		}
	}
}

func TestStorageRefusesForeignSecret(t *testing.T) {
	secrets, leases := newStores()
	s := NewClusterStorage(secrets, leases, "a")
	secrets.objects[secretName("k")] = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName("k"), ResourceVersion: "1"}}
	if err := s.Store(t.Context(), "k", nil); err == nil {
		t.Error("somebody else's Secret was overwritten")
	}
	if _, err := s.Load(t.Context(), "k"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading it gives %v", err)
	}
}

func TestLockExcludes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets, leases := newStores()
		a, b := NewClusterStorage(secrets, leases, "a"), NewClusterStorage(secrets, leases, "b")
		if err := a.Lock(t.Context(), "issue_cert_x"); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 5*lockTerm)
		defer cancel()
		if err := b.Lock(short, "issue_cert_x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a renewed lock was taken: %v", err)
		}
		if err := a.Unlock(t.Context(), "issue_cert_x"); err != nil {
			t.Fatal(err)
		}
		if err := b.Lock(t.Context(), "issue_cert_x"); err != nil {
			t.Fatal(err)
		}
		if err := b.Unlock(t.Context(), "issue_cert_x"); err != nil {
			t.Fatal(err)
		}
		if b.Unlock(t.Context(), "issue_cert_x") == nil {
			t.Error("a lock that is not held was released")
		}
	})
}

// TestLockExpires cuts the holder off from the API server: after the term another takes the lock, and what the first then stores
// for this certificate is refused, while other keys are not its lock's business.
func TestLockExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets, leases := newStores()
		cut := &cutLeases{Leases: leases}
		a, b := NewClusterStorage(secrets, cut, "a"), NewClusterStorage(secrets, leases, "b")
		const name, key = "issue_cert_*.x.example", "certificates/ca/wildcard_.x.example/wildcard_.x.example.crt"
		if err := a.Lock(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := a.Store(t.Context(), key, []byte("first")); err != nil {
			t.Fatal(err)
		}
		cut.off()
		began := time.Now()
		if err := b.Lock(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < lockTerm || waited > lockTerm+2*lockPoll {
			t.Errorf("taken after %v, want about %v", waited, lockTerm)
		}
		if err := b.Store(t.Context(), key, []byte("second")); err != nil {
			t.Fatal(err)
		}
		if err := a.Store(t.Context(), key, []byte("late")); !errors.Is(err, ErrLockLost) {
			t.Errorf("a late write gives %v", err)
		}
		if err := a.Store(t.Context(), "certificates/ca/y.example/y.example.crt", nil); err != nil {
			t.Error(err)
		}
		// Even one that believes to hold the lock is stopped by the fence that the later holder left.
		a.mu.Lock()
		a.held[name].until = time.Now().Add(time.Hour)
		a.mu.Unlock()
		if err := a.Store(t.Context(), key, []byte("late")); !errors.Is(err, ErrLockLost) {
			t.Errorf("a write under an older fence gives %v", err)
		}
		if got, err := b.Load(t.Context(), key); err != nil || string(got) != "second" {
			t.Errorf("found %q, %v", got, err)
		}
		_ = a.Unlock(t.Context(), name)
		if err := b.Unlock(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	})
}

// cutLeases can be cut off from the API server.
type cutLeases struct {
	Leases
	mu  sync.Mutex
	cut bool
}

func (c *cutLeases) off() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
}

func (c *cutLeases) Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("no route to host")
	}
	return c.Leases.Update(ctx, l, o)
}

func FuzzUnpack(f *testing.F) {
	p, err := pack([]byte("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.bytes)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, compressed []byte) {
		value, err := unpack(compressed)
		if err == nil && len(value) > mostValue {
			t.Errorf("%d bytes", len(value))
		}
	})
}

// countedLeases counts how often a Lease is read.
type countedLeases struct {
	Leases
	reads int
}

func (c *countedLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	c.reads++
	return c.Leases.Get(ctx, name, o)
}

// TestLockIsWaitedForPatiently: who waits for an hour asks the API server hundreds of times, not thousands, and still gets the lock soon
// after it is free.
func TestLockIsWaitedForPatiently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets, leases := newStores()
		counted := &countedLeases{Leases: leases}
		holder, other := NewClusterStorage(secrets, leases, "a"), NewClusterStorage(secrets, counted, "b")
		if err := holder.Lock(t.Context(), "issue_cert_shop.example"); err != nil {
			t.Fatal(err)
		}
		got := make(chan time.Time)
		go func() {
			_ = other.Lock(t.Context(), "issue_cert_shop.example")
			got <- time.Now()
		}()
		time.Sleep(time.Hour)
		released := time.Now()
		if err := holder.Unlock(t.Context(), "issue_cert_shop.example"); err != nil {
			t.Fatal(err)
		}
		if late := (<-got).Sub(released); late > 10*time.Second || counted.reads > 500 {
			t.Errorf("the lock was had %v after it was free, with %d reads; want 10s and 500 at most", late, counted.reads)
		}
		if err := other.Unlock(t.Context(), "issue_cert_shop.example"); err != nil {
			t.Fatal(err)
		}
	})
}

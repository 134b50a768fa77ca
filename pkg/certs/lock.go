package certs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Leases are the Leases of one namespace. client-go's typed client is one.
type Leases interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, l *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

const (
	lockTerm = 20 * time.Second // without a renewal for so long, a lock is free
	lockPoll = time.Second      // how often who waits looks at first

	lockPatience = time.Minute // until it looks less often
	lockPollMost = 10 * time.Second
)

// ErrLockLost is why a write is refused: the lock it was made under expired, and somebody else may hold it.
var ErrLockLost = errors.New("the lock was lost")

// heldLock is a lock that this process has. Its fields but done are guarded by ClusterStorage.mu.
type heldLock struct {
	lease *coordinationv1.Lease // as last written
	until time.Time             // by this machine's clock; after it the lock may be somebody else's
	done  context.CancelFunc    // ends the renewal
	ended chan struct{}         // closed when the renewal has ended
}

// fence orders the holders of one lock. Which lock it was is part of it, since the count begins anew if somebody deletes the Lease.
type fence struct {
	lease string // UID
	count int32
}

// String is "lease/count", or "" for a write without a lock.
func (f fence) String() string {
	if f.lease == "" {
		return ""
	}
	return f.lease + "/" + strconv.Itoa(int(f.count))
}

// before reports whether what was written under other came from a later holder of the same lock.
func (f fence) before(other string) bool {
	lease, count, ok := strings.Cut(other, "/")
	n, err := strconv.Atoi(count)
	return ok && err == nil && lease == f.lease && n > int(f.count)
}

// fence is that of the lock which this process holds for the folder of a key, if any: "issue_cert_shop.example" is the lock of
// "certificates/ca/shop.example/shop.example.crt". A write under a lock that has expired is refused.
func (s *ClusterStorage) fence(key string) (fence, error) {
	folder := path.Base(path.Dir(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, held := range s.held {
		if !strings.HasSuffix(certmagic.StorageKeys.Safe(name), "_"+folder) {
			continue
		}
		if !time.Now().Before(held.until) {
			return fence{}, fmt.Errorf("%w: %s", ErrLockLost, name)
		}
		return fence{string(held.lease.UID), transitions(held.lease)}, nil
	}
	return fence{}, nil
}

// Lock waits until this process holds the lock called name, or ctx ends. The lock is renewed in the background until Unlock. If the
// process dies, others take it when its term is over; they judge that by their own clock, from when they saw the last renewal, so
// clocks need not agree. A holder that could not renew in time has lost the lock: what it then stores is refused.
func (s *ClusterStorage) Lock(ctx context.Context, name string) error {
	var seen watched
	for began := time.Now(); ; {
		held, err := s.tryLock(ctx, name, &seen)
		if err != nil {
			return fmt.Errorf("locking %s: %w", name, err)
		}
		if held {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("locking %s: %w", name, ctx.Err())
		case <-time.After(s.pause(time.Since(began))):
		}
	}
}

// pause is how long to wait until a lock is looked at again that was waited for so long: who orders holds it through all the pauses
// between attempts, which may be hours, and a thousand names must not mean a thousand requests a second.
func (s *ClusterStorage) pause(waited time.Duration) time.Duration {
	return min(max((waited-lockPatience)/4, s.poll), lockPollMost)
}

// watched is a Lease that somebody else holds, and since when it has not changed.
type watched struct {
	version string
	since   time.Time
}

// tryLock takes the lock if it is free. Losing a race for it is not an error.
func (s *ClusterStorage) tryLock(ctx context.Context, name string, seen *watched) (bool, error) {
	began := time.Now()
	lease, err := s.leases.Get(ctx, lockName(name), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		lease = s.claim(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: lockName(name), Labels: map[string]string{storageLabel: "lock"},
			Annotations: map[string]string{"usher.dev/acme-lock": name}}})
		lease, err = s.leases.Create(ctx, lease, metav1.CreateOptions{})
	case err != nil:
		return false, err
	case !seen.free(lease):
		return false, nil
	default:
		lease, err = s.leases.Update(ctx, s.claim(lease), metav1.UpdateOptions{})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.hold(name, lease, began)
	return true, nil
}

// free reports whether nobody holds the Lease: it was released, or not renewed for its term.
func (w *watched) free(l *coordinationv1.Lease) bool {
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
		return true
	}
	if w.version != l.ResourceVersion {
		w.version, w.since = l.ResourceVersion, time.Now()
	}
	term := lockTerm
	if l.Spec.LeaseDurationSeconds != nil {
		term = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
	}
	return time.Since(w.since) > term
}

// claim makes this process the holder, with the next fence.
func (s *ClusterStorage) claim(l *coordinationv1.Lease) *coordinationv1.Lease {
	l = l.DeepCopy()
	now := metav1.NowMicro()
	holder := s.identity + "/" + rand.Text()
	seconds, count := int32(max(s.term/time.Second, 1)), transitions(l)+1
	l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &count}
	return l
}

func transitions(l *coordinationv1.Lease) int32 {
	if l.Spec.LeaseTransitions == nil {
		return 0
	}
	return *l.Spec.LeaseTransitions
}

// hold notes a lock that was taken and begins to renew it.
func (s *ClusterStorage) hold(name string, l *coordinationv1.Lease, began time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	held := &heldLock{lease: l, until: began.Add(s.term), done: cancel, ended: make(chan struct{})}
	s.mu.Lock()
	s.held[name] = held
	s.mu.Unlock()
	go func() {
		defer close(held.ended)
		for s.renew(ctx, held) {
		}
	}()
}

// renew renews a lock once a third of its term has passed. It ends when the lock is released or another's.
func (s *ClusterStorage) renew(ctx context.Context, held *heldLock) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(s.term / 3):
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.term/3)
	defer cancel()
	began := time.Now()
	written, err := s.prolong(ctx, held)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		held.lease, held.until = written, began.Add(s.term)
	case errors.Is(err, ErrLockLost) || apierrors.IsNotFound(err):
		held.until = time.Time{}
		return false
	}
	return true
}

// prolong writes a new time into the Lease. A conflict may come from an answer to our own write that never arrived.
func (s *ClusterStorage) prolong(ctx context.Context, held *heldLock) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	next := held.lease.DeepCopy()
	s.mu.Unlock()
	now := metav1.NowMicro()
	next.Spec.RenewTime = &now
	written, err := s.leases.Update(ctx, next, metav1.UpdateOptions{})
	if !apierrors.IsConflict(err) {
		return written, err
	}
	found, err := s.leases.Get(ctx, next.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if found.Spec.HolderIdentity == nil || *found.Spec.HolderIdentity != *next.Spec.HolderIdentity {
		return nil, ErrLockLost
	}
	next.ResourceVersion = found.ResourceVersion
	return s.leases.Update(ctx, next, metav1.UpdateOptions{})
}

// Unlock gives the lock back. One that was lost meanwhile is left to who has it.
func (s *ClusterStorage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	held := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if held == nil {
		return fmt.Errorf("unlocking %s: it is not held", name)
	}
	held.done()
	<-held.ended
	free, nobody := held.lease.DeepCopy(), ""
	free.Spec.HolderIdentity = &nobody
	_, err := s.leases.Update(context.WithoutCancel(ctx), free, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("unlocking %s: %w", name, err)
	}
	return nil
}

func lockName(name string) string { return "usher-acme-lock-" + hash(name)[:40] }

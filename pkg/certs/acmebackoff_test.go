package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// failingCA is the internal CA, which refuses until it is told otherwise, and notes when it was asked.
type failingCA struct {
	internalCA
	err error

	mu    sync.Mutex
	asked []time.Time
}

func (f *failingCA) Issue(ctx context.Context, r *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	f.mu.Lock()
	f.asked = append(f.asked, time.Now())
	f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return f.internalCA.Issue(ctx, r)
}

const ordered = "shop.example"

// starts is a process that orders a certificate, with the storage of those before it.
func (f *failingCA) starts(t *testing.T, storage certmagic.Storage) (i *Issuer, kill func()) {
	t.Helper()
	live := &route.Live{}
	live.Swap(&route.Table{Certificates: &route.Certificates{}})
	f.internalCA = internalCA{storage}
	i, err := NewIssuer(ACMEOptions{Tables: live, Storage: storage, CAs: []string{InternalCA}})
	if err != nil {
		t.Fatal(err)
	}
	i.plain.Issuers = []certmagic.Issuer{f}
	i.manage([]route.ACMEName{{Name: ordered}})
	return i, func() {
		i.manage(nil)
		i.working.Wait()
		i.cache.Stop()
		time.Sleep(lockEnds)
	}
}

// lockEnds is how long certmagic's locks of files are looked after when they have been given back.
const lockEnds = 10 * time.Second

// pauses are the times between one order and the next, in minutes.
func (f *failingCA) pauses() (list []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := 1; n < len(f.asked); n++ {
		list = append(list, int(f.asked[n].Sub(f.asked[n-1]).Round(time.Minute)/time.Minute))
	}
	return list
}

// TestBackoffSurvivesRestarts: a process that is started again every 30 s orders no more than one that runs on, and an hour is the longest
// pause. When the CA gives a certificate the count begins anew.
func TestBackoffSurvivesRestarts(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ca := &failingCA{err: errors.New("the CA refuses")}
		for began := time.Now(); time.Since(began) < 6*time.Hour; {
			_, kill := ca.starts(t, storage)
			time.Sleep(30*time.Second - lockEnds)
			kill()
		}
		want := []int{1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 60}
		if got := ca.pauses(); !slices.Equal(got, want) {
			t.Errorf("orders %v minutes apart, want %v", got, want)
		}
		ca.err = nil
		i, kill := ca.starts(t, storage)
		defer kill()
		time.Sleep(61 * time.Minute)
		if i.refresh(); i.issued.Load().certificates[ordered] == nil {
			t.Fatal("the CA gives certificates, and there is none")
		}
		if _, err := storage.Stat(t.Context(), i.backoff.key(ordered)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the failures are still stored after success: %v", err)
		}
	})
}

// TestBackoffWithinAProcess: certmagic's own pauses go on, and the next attempt is shown.
func TestBackoffWithinAProcess(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ca := &failingCA{err: errors.New("the CA refuses")}
		i, kill := ca.starts(t, storage)
		defer kill()
		time.Sleep(time.Minute - time.Second)
		ca.mu.Lock()
		next := ca.asked[0].Add(time.Minute).UTC().Format(time.RFC3339)
		ca.mu.Unlock()
		d := i.Load().Diagnostics
		if len(d) != 1 || d[0].Reason != policy.CertificatePending || !strings.Contains(d[0].Message, "the CA refuses; attempt 2 is not made before "+next) {
			t.Errorf("shown: %+v, want an attempt at %s", d, next)
		}
		time.Sleep(time.Hour)
		if got, want := ca.pauses(), []int{1, 2, 2, 5, 10, 10, 10, 20}; !slices.Equal(got, want) {
			t.Errorf("orders %v minutes apart, want %v", got, want)
		}
	})
}

// TestBackoffOfKilledProcesses: orders that a process is killed in count too, but the first of them.
func TestBackoffOfKilledProcesses(t *testing.T) {
	b := newBackoff(&certmagic.FileStorage{Path: t.TempDir()}, []certmagic.Issuer{internalCA{}})
	synctest.Test(t, func(t *testing.T) {
		began := 0
		for range 10 * 60 {
			switch err := b.begin(t.Context(), ordered); {
			case err == nil:
				began++
			case !errors.As(err, new(errBackoff)) || !strings.Contains(err.Error(), "it was interrupted"):
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if began != 5 { // at 0, 0, 1, 3 and 5 minutes
			t.Errorf("%d orders began within 10 minutes, want 5", began)
		}
	})
}

// TestBackoffOfRefusals: after a failure that is final for certmagic, an hour passes.
func TestBackoffOfRefusals(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ca := &failingCA{err: certmagic.ErrNoRetry{Err: errors.New("no such name")}}
		for range 3 {
			_, kill := ca.starts(t, storage)
			time.Sleep(35 * time.Minute)
			kill()
		}
		if got := ca.pauses(); !slices.Equal(got, []int{60}) {
			t.Errorf("orders %v minutes apart, want 60", got)
		}
	})
}

// TestBackoffOfRenewals: the certificate is served, and that it is not renewed is shown.
func TestBackoffOfRenewals(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ca := &failingCA{}
		_, kill := ca.starts(t, storage)
		time.Sleep(time.Second)
		kill()
		ca.asked, ca.err = nil, errors.New("the CA refuses")
		time.Sleep(internalLife - internalLife/10)
		for began := time.Now(); time.Since(began) < 9*time.Minute; {
			i, kill := ca.starts(t, storage)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			d := i.Load().Diagnostics
			if len(d) != 1 || !strings.Contains(d[0].Message, "is not renewed") || i.Load().Certificates.Names() == nil {
				t.Fatalf("%+v", d)
			}
			kill()
		}
		if got := ca.pauses(); len(got) > 4 {
			t.Errorf("renewals %v minutes apart, want 1, 2, 2 and 5 at most", got)
		}
	})
}

// TestBackoffIsCleaned: what nobody orders any more is removed, what is not due stays.
func TestBackoffIsCleaned(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	other, b := newBackoff(storage, []certmagic.Issuer{&failingCA{}, internalCA{}}), newBackoff(storage, []certmagic.Issuer{internalCA{}})
	synctest.Test(t, func(t *testing.T) {
		note := func(b *backoff, name string) {
			if err := b.begin(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.clean(t.Context()); err != nil {
			t.Fatalf("with nothing stored: %v", err)
		}
		note(other, "*.old.example")
		note(b, "old.example")
		time.Sleep(backoffKept)
		note(b, "new.example")
		time.Sleep(time.Second)
		if err := b.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]bool{b.key("old.example"): false, other.key("*.old.example"): false, b.key("new.example"): true} {
			if got := storage.Exists(t.Context(), key); got != want {
				t.Errorf("%s is stored: %v, want %v", key, got, want)
			}
		}
	})
}

// TestBackoffOfBadContent: what cannot be read, or was written by a clock that was years ahead, keeps nobody from ordering, and no order is
// made that cannot be noted.
func TestBackoffOfBadContent(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	b := newBackoff(storage, []certmagic.Issuer{internalCA{}})
	for _, text := range []string{"", "{", "[]", `{"failures":-5,"next":"2999-01-01T00:00:00Z"}`, `{"failures":999999999,"next":"1999-01-01T00:00:00Z"}`} {
		if err := storage.Store(t.Context(), b.key(ordered), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := b.begin(t.Context(), ordered); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	b.storage = unwritable{storage}
	if err := b.begin(t.Context(), "new.example"); err == nil {
		t.Error("an order began that could not be noted")
	}
}

type unwritable struct{ certmagic.Storage }

func (unwritable) Store(context.Context, string, []byte) error { return errors.New("the disk is full") }

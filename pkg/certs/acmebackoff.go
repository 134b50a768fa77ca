package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// backoff keeps in the storage when a name may be ordered again after failures, so that neither a restart nor another replica orders
// it sooner: CAs count failures, and then refuse the whole account. An order is noted before it begins, since a process may be killed
// while it is under way. Failures at other CAs do not count.
type backoff struct {
	storage certmagic.Storage
	folder  string // of the CAs in use
}

// attempts is what is stored of a name that was ordered in vain, or is being ordered.
type attempts struct {
	Failures int       `json:"failures"` // and orders that began and have not ended
	Next     time.Time `json:"next"`     // not before this is it ordered again
	Error    string    `json:"error,omitempty"`
}

const (
	backoffMost = time.Hour
	backoffKept = 24 * time.Hour // after the next attempt might have been made
	backoffCall = 10 * time.Second
	mostError   = 1 << 10 // of bytes that are stored of an error
)

// backoffPauses are certmagic's own, so that it seldom tries in vain within one process. The last is for all further failures.
func backoffPauses() []time.Duration {
	const m = time.Minute
	return []time.Duration{0, m, 2 * m, 2 * m, 5 * m, 10 * m, 10 * m, 10 * m, 20 * m, 20 * m, 20 * m, 20 * m, 30 * m, 30 * m, 30 * m, 30 * m, backoffMost}
}

// pauseAfter is how long a name that has failed so often is not ordered.
func pauseAfter(failures int) time.Duration {
	all := backoffPauses()
	return all[min(max(failures, 0), len(all)-1)]
}

// errBackoff is why a name is not ordered now.
type errBackoff struct{ attempts }

func (e errBackoff) Error() string {
	why := e.attempts.Error
	if why == "" {
		why = "it was interrupted"
	}
	return fmt.Sprintf("%s; attempt %d is not made before %s", why, e.Failures+1, e.Next.UTC().Format(time.RFC3339))
}

func newBackoff(storage certmagic.Storage, issuers []certmagic.Issuer) *backoff {
	keys := make([]string, len(issuers))
	for n, issuer := range issuers {
		keys[n] = issuer.IssuerKey()
	}
	return &backoff{storage, path.Join("backoff", certmagic.StorageKeys.Safe(strings.Join(keys, "+")))}
}

func (b *backoff) key(name string) string {
	return path.Join(b.folder, certmagic.StorageKeys.Safe(name)+".json")
}

// begin notes that an order of name begins. It returns an errBackoff if it is too soon, or why the storage does not work: an order that
// cannot be noted is not made.
func (b *backoff) begin(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, backoffCall)
	defer cancel()
	a, err := b.load(ctx, b.key(name))
	if err != nil {
		return err
	}
	now := time.Now()
	if left := a.Next.Sub(now); left > 0 && left <= backoffMost { // a later one was written by a clock that was wrong
		return errBackoff{a}
	}
	// An order that does not end counts like the failure before it: the first to be interrupted costs no time.
	return b.store(ctx, name, attempts{a.Failures + 1, now.Add(pauseAfter(a.Failures)), a.Error})
}

// fail notes that the order of name that has begun failed, and returns when it may be ordered again.
func (b *backoff) fail(ctx context.Context, name string, why error) errBackoff {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backoffCall)
	defer cancel()
	a, err := b.load(ctx, b.key(name))
	a.Failures = max(a.Failures, 1)
	pause := pauseAfter(a.Failures)
	if errors.As(why, new(certmagic.ErrNoRetry)) {
		pause = backoffMost
	}
	a.Next, a.Error = time.Now().Add(pause), why.Error()
	if len(a.Error) > mostError {
		a.Error = strings.ToValidUTF8(a.Error[:mostError], "")
	}
	if err == nil {
		err = b.store(ctx, name, a)
	}
	if err != nil { // what begin has written stands
		a.Error += fmt.Sprintf(" (and this is not stored: %v)", err)
	}
	return errBackoff{a}
}

// forget ends the back-off of a name that has a certificate.
func (b *backoff) forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backoffCall)
	defer cancel()
	if err := b.storage.Delete(ctx, b.key(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clean removes what is about names that nobody orders any more, or not at these CAs.
func (b *backoff) clean(ctx context.Context) error {
	keys, err := b.storage.List(ctx, path.Dir(b.folder), true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, key := range keys {
		if !strings.HasSuffix(key, ".json") {
			continue
		}
		a, failed := b.load(ctx, key)
		if failed == nil && time.Since(a.Next) > backoffKept {
			failed = b.storage.Delete(ctx, key)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// load gives nothing for a name that has not failed, or of which something is stored that cannot be read.
func (b *backoff) load(ctx context.Context, key string) (attempts, error) {
	text, err := b.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return attempts{}, nil
	}
	if err != nil {
		return attempts{}, err
	}
	var a attempts
	if json.Unmarshal(text, &a) != nil {
		a = attempts{} // what cannot be read says nothing, and is written anew
	}
	return a, nil
}

func (b *backoff) store(ctx context.Context, name string, a attempts) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return b.storage.Store(ctx, b.key(name), text)
}

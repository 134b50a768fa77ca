package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/usher-ingress/usher/pkg/route"
)

// Use takes over the names of a new Table. It does not block: Run does the work.
func (i *Issuer) Use(t *route.Table) {
	for {
		select {
		case i.wanted <- t.ACME:
			return
		case <-i.wanted: // an older Table's, which nobody has looked at
		}
	}
}

// manage begins with names that are new and ends with those that are gone. What was issued for those stays in the storage.
// It reports whether anything changed.
func (i *Issuer) manage(wanted []route.ACMEName) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	keep := map[string]bool{}
	for _, w := range wanted {
		keep[w.Name] = true
		m := i.names[w.Name]
		switch {
		case m == nil:
			changed = true
			i.begin(w)
		case m.wanted != w:
			changed = true
			m.wanted, m.rewrite, m.unwritten = w, time.Time{}, ""
		}
	}
	for name, m := range i.names {
		if keep[name] {
			continue
		}
		changed = true
		m.stop()
		delete(i.names, name)
		i.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	}
	i.known.Store(&keep)
	i.first.CompareAndSwap(0, time.Now().UnixNano())
	return changed
}

func (i *Issuer) begin(w route.ACMEName) {
	ctx, cancel := context.WithCancel(context.Background())
	m := &managed{stop: cancel, wanted: w}
	i.names[w.Name] = m
	if isWildcard(w.Name) && i.dns == nil && i.asksACME() {
		m.failed = "a wildcard needs the DNS-01 challenge: want --acme-dns-server"
		return
	}
	i.unread.Add(1)
	var once sync.Once
	looked := func() { once.Do(func() { i.unread.Add(-1) }) }
	i.background(func() {
		defer looked()
		i.care(ctx, w.Name, looked)
	})
}

// managed is a name that is taken care of.
type managed struct {
	stop      context.CancelFunc
	wanted    route.ACMEName
	failed    string    // why the last attempt failed
	next      time.Time // not before this is it tried again; zero if that is not known
	unwritten string    // why it is not in its Secret
	rewrite   time.Time // not before this is writing it tried again
}

// How long care waits after an attempt that failed for another reason than the CA's; backoff paces those of the CA.
const (
	careFirst = time.Second
	careMost  = time.Minute

	loadFor  = 10 * time.Second
	loadPoll = 20 * time.Millisecond
	// lookFor is how long a replica that starts may wait for the storage before it serves without.
	lookFor = 15 * time.Second
)

// care has the certificate of one name: the stored one, or one that is ordered, with backoff's pauses between attempts. From then on
// certmagic renews it. looked is called when the storage was asked.
func (i *Issuer) care(ctx context.Context, name string, looked func()) {
	config := i.configFor(name)
	for pause := careFirst; ; pause = min(2*pause, careMost) {
		found, err := i.load(ctx, config, name)
		looked()
		if err == nil && !found {
			if err = config.ObtainCertAsync(ctx, name); err == nil {
				_, err = config.CacheManagedCertificate(ctx, name)
			}
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		wait := time.Until(i.nextTry(name))
		if wait <= 0 {
			wait = pause
			i.note(name, err)
			i.refresh()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// load has certmagic take over the stored certificate of a name, if there is one. That it is all there is looked at before, since
// certmagic does not tell when it could not read it.
func (i *Issuer) load(ctx context.Context, config *certmagic.Config, name string) (found bool, err error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case i.loading <- struct{}{}:
	}
	defer func() { <-i.loading }()
	if found, err = stored(ctx, config, name); err != nil || !found {
		return found, err
	}
	if err := config.ManageAsync(ctx, []string{name}); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(loadFor); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(loadPoll) {
		if newest(i.cache.AllMatchingCertificates(name), name) != nil {
			return true, nil
		}
	}
	return false, errors.New("the stored certificate cannot be read; the log says why")
}

// stored reports whether the storage has the certificate of a name from any of the CAs.
func stored(ctx context.Context, config *certmagic.Config, name string) (bool, error) {
	for _, issuer := range config.Issuers {
		key := issuer.IssuerKey()
		found := true
		for _, asset := range []string{certmagic.StorageKeys.SiteCert(key, name), certmagic.StorageKeys.SitePrivateKey(key, name), certmagic.StorageKeys.SiteMeta(key, name)} {
			_, err := config.Storage.Stat(ctx, asset)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			found = found && err == nil
		}
		if found {
			return true, nil
		}
	}
	return false, nil
}

// Ready returns nil once the storage was asked for the certificate of every name, or why no traffic should come yet: clients would be
// shown another certificate. A storage that does not answer is not waited for long.
func (i *Issuer) Ready() error {
	first := i.first.Load()
	if first == 0 {
		return errors.New("the names of ACME are not known yet")
	}
	if n := i.unread.Load(); n > 0 && time.Since(time.Unix(0, first)) < lookFor {
		return fmt.Errorf("%d certificates of ACME are not read yet", n)
	}
	return nil
}

// happened is certmagic's report of what it does. An error ends what is about to begin.
func (i *Issuer) happened(ctx context.Context, event string, data map[string]any) (err error) {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtaining":
		if err = i.backoff.begin(ctx, name); err == nil {
			return nil
		}
		i.note(name, err)
		if errors.As(err, new(errBackoff)) { // care asks again when it is time, and certmagic's maintenance for renewals
			err = certmagic.ErrNoRetry{Err: err}
		}
	case "cert_failed":
		if !i.failed(ctx, name, data["error"]) {
			return nil
		}
	case "cert_obtained":
		i.obtained(ctx, name)
	case "cached_managed_cert", "cert_ocsp_revoked":
	default:
		return nil
	}
	i.hurry.Store(time.Now().Add(hurryFor).UnixNano())
	i.refresh()
	return err
}

// failed notes that an order failed; false if it was ended: this process ends, or the name is not wanted any more.
func (i *Issuer) failed(ctx context.Context, name string, why any) bool {
	err, ok := why.(error)
	if !ok || ctx.Err() != nil {
		return false
	}
	later := i.backoff.fail(ctx, name, err)
	i.note(name, later)
	i.options.Log.Warn("an order of ACME failed", zap.String("name", name), zap.Int("failures", later.Failures), zap.Time("next", later.Next), zap.Error(err))
	return true
}

func (i *Issuer) obtained(ctx context.Context, name string) {
	i.note(name, nil)
	if err := i.backoff.forget(ctx, name); err != nil {
		i.options.Log.Warn("that orders of ACME failed before is not forgotten", zap.String("name", name), zap.Error(err))
	}
}

func (i *Issuer) note(name string, err error) {
	i.update(name, func(m *managed) {
		m.failed, m.next = "", time.Time{}
		if err != nil {
			m.failed = err.Error()
		}
		var later errBackoff
		if errors.As(err, &later) {
			m.next = later.Next
		}
	})
}

// nextTry is before when a name is not tried again; zero if that is not known.
func (i *Issuer) nextTry(name string) (next time.Time) {
	i.update(name, func(m *managed) { next = m.next })
	return next
}

// update changes what is known of a name, if it is still taken care of.
func (i *Issuer) update(name string, change func(*managed)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if m := i.names[name]; m != nil {
		change(m)
	}
}

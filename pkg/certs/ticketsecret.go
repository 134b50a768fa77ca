package certs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// TicketOptions say where the keys of session tickets are kept.
type TicketOptions struct {
	Client    corev1client.SecretsGetter // nil: nowhere, every process has its own
	Namespace string
	Name      string // of the Secret
	// Leads reports whether this replica is the one that writes.
	Leads func() bool
	// Set takes the keys into use: Selector.SetTicketKeys.
	Set func([][32]byte)
	Log *zap.Logger // may be nil
}

const (
	ticketRead  = 5 * time.Minute // how often the Secret is read; far less than ticketLead
	ticketRetry = 5 * time.Second // while there are no keys
	ticketCall  = 10 * time.Second
)

// Tickets keeps the keys of session tickets the same on every replica. The leader makes and rotates them; a replica that cannot read
// them has keys of its own, and its clients make full handshakes when they come to another.
type Tickets struct {
	options TicketOptions
	log     *zap.Logger

	mu    sync.Mutex
	given []byte     // the ConfigMap's key, which goes before the Secret's
	keys  ticketKeys // of the Secret; empty before they are known

	trouble string // said already
}

// NewTickets makes a Tickets; Run starts it.
func NewTickets(o TicketOptions) *Tickets {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Tickets{options: o, log: o.Log}
}

// Use puts a key of 32 bytes from the ConfigMap in the place of the Secret's; nil takes it back.
func (t *Tickets) Use(key []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if string(t.given) == string(key) {
		return
	}
	t.given = key
	t.apply()
}

// apply puts into use what counts now. When a given key is taken back before the Secret was read, a random one takes its place, since
// crypto/tls has no way back to keys of its own.
func (t *Tickets) apply() {
	switch {
	case len(t.given) == 32:
		t.options.Set([][32]byte{[32]byte(t.given)})
	case len(t.keys) > 0:
		t.options.Set(t.keys.inUse(time.Now()))
	default:
		t.options.Set([][32]byte{newTicketKey()})
	}
}

// Run follows the Secret until ctx ends.
func (t *Tickets) Run(ctx context.Context) error {
	for ctx.Err() == nil && t.options.Client != nil {
		timer := time.NewTimer(t.turn(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	<-ctx.Done()
	return nil
}

// turn reads the Secret, brings it up to date if that is ours to do, and tells how long to wait for the next turn.
func (t *Tickets) turn(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, ticketCall)
	defer cancel()
	secret, err := t.options.Client.Secrets(t.options.Namespace).Get(ctx, t.options.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && t.options.Leads():
		secret, err = t.create(ctx)
	case err == nil && t.options.Leads():
		secret, err = t.update(ctx, secret)
	case apierrors.IsNotFound(err):
		return ticketRetry // the leader will make it
	}
	if err != nil {
		t.complain(ctx, err)
		return t.wait(time.Now())
	}
	t.trouble = ""
	t.take(secret)
	return t.wait(time.Now())
}

func (t *Tickets) create(ctx context.Context) (*corev1.Secret, error) {
	keys, _ := ticketKeys{}.rotated(time.Now())
	return t.options.Client.Secrets(t.options.Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.options.Namespace, Name: t.options.Name,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "usher"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: keys.data(),
	}, metav1.CreateOptions{})
}

// update writes only what it read: the API server refuses if another was faster.
func (t *Tickets) update(ctx context.Context, secret *corev1.Secret) (*corev1.Secret, error) {
	keys, bad := readTicketKeys(secret.Data)
	if len(bad) > 0 {
		t.log.Warn("entries of the Secret of session tickets are no keys; they are removed", zap.Strings("entries", bad))
	}
	keys, changed := keys.rotated(time.Now())
	if !changed && len(bad) == 0 {
		return secret, nil
	}
	secret = secret.DeepCopy()
	secret.Data = keys.data()
	return t.options.Client.Secrets(t.options.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
}

// take puts the keys of a Secret into use. One without any leaves the keys as they are.
func (t *Tickets) take(secret *corev1.Secret) {
	keys, _ := readTicketKeys(secret.Data)
	if len(keys) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = keys
	if len(t.given) == 0 {
		t.apply()
	}
}

// wait is until the keys are to be looked at again.
func (t *Tickets) wait(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) == 0 {
		return ticketRetry
	}
	wait := ticketRead
	if next := t.keys.nextChange(now); !next.IsZero() {
		wait = min(wait, max(time.Second, next.Sub(now)))
	}
	return wait
}

// complain says once what keeps the keys from being shared. A conflict is no trouble: the next turn reads what the other wrote.
func (t *Tickets) complain(ctx context.Context, err error) {
	if errors.Is(context.Cause(ctx), context.Canceled) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return
	}
	reason := string(apierrors.ReasonForError(err))
	if reason == t.trouble {
		return
	}
	t.trouble = reason
	t.log.Warn("the keys of session tickets are not shared: clients that come to another replica make a full handshake",
		zap.String("secret", strings.Join([]string{t.options.Namespace, t.options.Name}, "/")), zap.Error(err))
}

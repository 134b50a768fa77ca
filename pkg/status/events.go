package status

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	// standing is how long a mistake must stand before it is told: `kubectl apply` creates an Ingress before its Secret.
	standing = 3 * time.Second
	// repeat is when a mistake that still stands is told again; an API server forgets Events after an hour.
	repeat = time.Hour
	// eventsPerSecond and eventBurst bound what is written, whatever tenants do.
	eventsPerSecond, eventBurst = 5, 100
	// eventsOfHosts is how many hosts that others name too are told of for one Ingress, which may have thousands: the first ones by field.
	eventsOfHosts = 20
	// reporter is who Events are from.
	reporter = "usher.dev/ingress-controller"
	// longest is the length of message that the API allows.
	longest = 1024
)

// events tells each mistake of an Ingress once. It lives while this replica leads.
type events struct {
	w     *Writer
	pace  flowcontrol.RateLimiter
	table *route.Table // last followed
	known map[mistake]*telling
}

// mistake is what is told once: an object, a reason and a message.
type mistake struct {
	object  policy.Ref
	uid     string
	reason  policy.Reason
	message string
}

// telling is how far a mistake was told.
type telling struct {
	since time.Time // when it came up
	told  time.Time // when last told; zero if it was not
}

func newEvents(w *Writer) *events {
	return &events{w: w, pace: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventBurst), known: map[mistake]*telling{}}
}

// follow takes in the Table, forgets what was mended and tells what is due.
func (e *events) follow(ctx context.Context, t *route.Table) {
	if t == nil {
		return
	}
	if t != e.table {
		e.table = t
		e.compare(mistakes(t))
	}
	now := time.Now()
	for m, known := range e.known {
		if now.Sub(known.since) < standing || !known.told.IsZero() && now.Sub(known.told) < repeat {
			continue
		}
		if ctx.Err() != nil || !e.pace.TryAccept() {
			return // the rest when there is room
		}
		if err := e.w.emit(ctx, m); err != nil {
			e.w.log.Warn("event not written; trying again", zap.Stringer("object", m.object), zap.Error(err))
			return
		}
		known.told = now
	}
}

func (e *events) compare(now map[mistake]bool) {
	for m := range e.known {
		if !now[m] {
			delete(e.known, m)
		}
	}
	for m := range now {
		if e.known[m] == nil {
			e.known[m] = &telling{since: time.Now()}
		}
	}
}

// mistakes are the Diagnostics of a Table that are told on an Ingress: errors, and the warnings that users have to act on.
func mistakes(t *route.Table) map[mistake]bool {
	claimed := map[policy.Ref]string{}
	for _, i := range t.Ingresses {
		if i.Claimed {
			claimed[i.Object] = i.UID
		}
	}
	found, ofHosts := map[mistake]bool{}, map[policy.Ref]int{}
	for _, d := range t.Diagnostics {
		uid, ours := claimed[d.Origin.Object]
		if !ours || d.Severity != route.Error && (d.Severity != route.Warning || !toldAsWarning(d.Reason)) {
			continue
		}
		if isAboutOwners(d.Reason) {
			if ofHosts[d.Origin.Object]++; ofHosts[d.Origin.Object] > eventsOfHosts {
				continue
			}
		}
		found[mistake{d.Origin.Object, uid, d.Reason, message(d)}] = true
	}
	return found
}

// toldAsWarning reports whether users have to act on a warning: an option that could not be used or is ignored, so that traffic is
// other than it says, a host that other namespaces name too, or a targetPort that no container declares. The last need not be wrong,
// but where it is, every request is answered 502 and no object says so.
func toldAsWarning(r policy.Reason) bool {
	switch r {
	case policy.BadAnnotation, policy.UnsupportedAnnotation, policy.RefusedAnnotation, policy.UnknownAnnotation, policy.HostSettingConflict,
		policy.TargetPortMismatch, policy.HostShared, policy.HostNotOwned:
		return true
	}
	return false
}

func isAboutOwners(r policy.Reason) bool { return r == policy.HostShared || r == policy.HostNotOwned }

// message is the field, what is wrong and what that does.
func message(d route.Diagnostic) string {
	text := d.Message
	if d.Origin.Field != "" {
		text = d.Origin.Field + ": " + text
	}
	if d.Effect != "" {
		text += "; " + d.Effect
	}
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest-3], "") + "..."
	}
	return text
}

// eventReason is a Reason as Events have them: no-service becomes NoService. A bad annotation keeps the reason that ingress-nginx
// gives, since alerts look for it.
func eventReason(r policy.Reason) string {
	if r == policy.BadAnnotation {
		return "AnnotationParsingFailed"
	}
	var out strings.Builder
	for word := range strings.SplitSeq(string(r), "-") {
		if word != "" {
			out.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return out.String()
}

// emit writes the Event of a mistake. Its name follows from the mistake, so that a new leader does not tell again what the one before
// has told: where the Event exists, only its time is renewed.
func (w *Writer) emit(ctx context.Context, m mistake) error {
	api := w.options.Client.CoreV1().Events(cmp.Or(m.object.Namespace, metav1.NamespaceDefault))
	event := w.event(m)
	_, err := api.Create(ctx, event, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		patch := fmt.Sprintf(`{"lastTimestamp":%q}`, event.LastTimestamp.UTC().Format(time.RFC3339))
		_, err = api.Patch(ctx, event.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // the namespace is going
	}
	if apierrors.IsForbidden(err) {
		w.log.Warn("event refused", zap.Stringer("object", m.object), zap.Error(err))
		return nil
	}
	return err
}

func (w *Writer) event(m mistake) *corev1.Event {
	sum := sha256.Sum256([]byte(m.uid + "\x00" + string(m.reason) + "\x00" + m.message))
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(m.object.Namespace, metav1.NamespaceDefault),
			Name:      strings.TrimRight(fmt.Sprintf("%.200s", m.object.Name), "-.") + "." + hex.EncodeToString(sum[:8]),
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: m.object.Kind,
			Namespace: m.object.Namespace, Name: m.object.Name, UID: types.UID(m.uid),
		},
		Type: corev1.EventTypeWarning, Reason: eventReason(m.reason), Message: m.message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: "usher"},
		ReportingController: reporter, ReportingInstance: w.options.Identity,
	}
}

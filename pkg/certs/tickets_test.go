package certs

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"
)

// replica is one Tickets at work, and the keys that it took into use.
type replica struct {
	*Tickets
	logs *observer.ObservedLogs

	mu   sync.Mutex
	keys [][32]byte
}

func newReplica(t *testing.T, client corev1client.SecretsGetter, leads func() bool) *replica {
	r := &replica{}
	core, logs := observer.New(zap.InfoLevel)
	r.logs = logs
	r.Tickets = NewTickets(TicketOptions{Client: client, Namespace: "usher", Name: "tickets", Leads: leads, Log: zap.New(core), Set: func(keys [][32]byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.keys = keys
	}})
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go func() { _ = r.Run(ctx) }()
	return r
}

func (r *replica) inUse() [][32]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

func yes() bool { return true }
func no() bool  { return false }

// For ten days, read at other moments, replicas accept each other's tickets; a ticket is good for at least two days and no more than five.
func TestTicketsRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		follower := newReplica(t, client.CoreV1(), no)
		time.Sleep(3 * time.Second)
		leader := newReplica(t, client.CoreV1(), yes)
		time.Sleep(10 * time.Second)
		made := map[[32]byte]time.Time{} // when a key last made tickets
		for range 10 * 24 * 4 {
			a, b := leader.inUse(), follower.inUse()
			if len(a) == 0 || len(b) == 0 || !slices.Contains(b, a[0]) || !slices.Contains(a, b[0]) {
				t.Fatalf("%v: the leader has %d keys, the follower %d, and they do not accept each other's", time.Now(), len(a), len(b))
			}
			made[a[0]] = time.Now()
			for key, last := range made {
				switch age := time.Since(last); {
				case age < 48*time.Hour && !slices.Contains(a, key):
					t.Fatalf("a ticket of %v ago is not accepted", age)
				case age > 5*24*time.Hour && slices.Contains(a, key):
					t.Fatalf("a ticket of %v ago is accepted", age)
				}
			}
			time.Sleep(15 * time.Minute)
		}
		if len(made) < 9 || len(made) > 11 {
			t.Errorf("%d keys in ten days", len(made))
		}
		if n := leader.logs.Len() + follower.logs.Len(); n > 0 {
			t.Errorf("%d lines in the log", n)
		}
	})
}

// A Secret that is deleted ends all sessions: new keys take the place of all.
func TestTicketsOfADeletedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		r := newReplica(t, client.CoreV1(), yes)
		synctest.Wait()
		before := r.inUse()
		if err := client.CoreV1().Secrets("usher").Delete(t.Context(), "tickets", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ticketRead + time.Second)
		if after := r.inUse(); len(before) != 1 || len(after) != 1 || after[0] == before[0] {
			t.Errorf("%d keys before, %d after, the same: %v", len(before), len(after), slices.Equal(before, after))
		}
	})
}

// What is not a key is removed, and does not count.
func TestTicketsOfADamagedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := time.Now().UTC().Add(-time.Hour).Format(ticketTime)
		client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "usher", Name: "tickets"},
			Data: map[string][]byte{good: make([]byte, 32), "20260101T000000Z": make([]byte, 31), "notes": []byte("hello")}})
		follower := newReplica(t, client.CoreV1(), no)
		synctest.Wait()
		leader := newReplica(t, client.CoreV1(), yes)
		synctest.Wait()
		for name, r := range map[string]*replica{"follower": follower, "leader": leader} {
			if keys := r.inUse(); len(keys) != 1 || keys[0] != [32]byte{} {
				t.Errorf("%s: %d keys", name, len(keys))
			}
		}
		secret, err := client.CoreV1().Secrets("usher").Get(t.Context(), "tickets", metav1.GetOptions{})
		if err != nil || len(secret.Data) != 1 {
			t.Errorf("the Secret has %d entries, %v", len(secret.Data), err)
		}
		if leader.logs.FilterField(zap.Strings("entries", []string{"20260101T000000Z", "notes"})).Len() != 1 {
			t.Errorf("log: %v", leader.logs.All())
		}
	})
}

// A replica that may not read goes on with its own keys, and says so once.
func TestTicketsWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		client.PrependReactor("*", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "tickets", nil)
		})
		r := newReplica(t, client.CoreV1(), yes)
		time.Sleep(time.Hour)
		if r.inUse() != nil || r.logs.Len() != 1 {
			t.Errorf("keys %v, log %v", r.inUse(), r.logs.All())
		}
	})
}

// A key in the ConfigMap goes before the Secret's, and can be taken back.
func TestGivenTicketKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, client := range []corev1client.SecretsGetter{nil, fake.NewClientset().CoreV1()} {
			r := newReplica(t, client, yes)
			r.Use(nil)
			synctest.Wait()
			before := r.inUse()
			given := newTicketKey()
			r.Use(given[:])
			time.Sleep(time.Hour) // the Secret is read again
			if got := r.inUse(); !slices.Equal(got, [][32]byte{given}) {
				t.Errorf("%d keys in use, want the given one", len(got))
			}
			r.Use(nil)
			after := r.inUse()
			if len(after) == 0 || slices.Contains(after, given) || client != nil && !slices.Equal(before, after) {
				t.Errorf("the given key is still in use: %v", slices.Contains(after, given))
			}
		}
	})
}

// FuzzTicketKeys: whatever a Secret holds, there is at most one key for each entry, and a rotation ends with few of them, one of which
// is to be used now.
func FuzzTicketKeys(f *testing.F) {
	f.Add("20261124T080000Z", "20261125T080000Z", int64(1764000000))
	f.Add("notes", "00010101T000000Z", int64(0))
	f.Fuzz(func(t *testing.T, one, two string, clock int64) {
		keys, bad := readTicketKeys(map[string][]byte{one: make([]byte, 32), two: make([]byte, 32)})
		if len(keys)+len(bad) > 2 {
			t.Fatalf("%d keys, %d bad", len(keys), len(bad))
		}
		now := time.Unix(clock%(1<<33), 0)
		keys, _ = keys.rotated(now)
		again, _ := readTicketKeys(keys.data())
		if inUse := keys.inUse(now); len(again) != len(keys) || len(inUse) != len(keys) || len(inUse) == 0 || len(inUse) > oldTickets+3 {
			t.Fatalf("%d keys, %d read again, %d in use", len(keys), len(again), len(inUse))
		}
	})
}

package certs

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// Keys of session tickets. Replicas share them in a Secret, so that a client resumes whichever replica its next connection reaches.
// Each entry of the Secret is a key, 32 random bytes, named by the time from which it makes tickets:
//
//	data:
//	  20261122T080000Z: ...   accepted
//	  20261123T080000Z: ...   accepted
//	  20261124T080000Z: ...   makes tickets, and accepted
//	  20261125T080000Z: ...   the next, accepted already
//
// A key is written an hour before its time, so that every replica knows it before the first ticket is made with it. One that is deleted
// from the Secret is not accepted any more: to end all sessions, delete the Secret.

const (
	ticketPeriod = 24 * time.Hour // how long a key makes tickets
	ticketLead   = time.Hour      // how long before that it is written
	oldTickets   = 3              // how many keys are accepted after their time
	ticketTime   = "20060102T150405Z"
)

// ticketKeys are keys by the time from which they make tickets.
type ticketKeys map[time.Time][32]byte

// readTicketKeys reads a Secret's data and tells which entries are no keys.
func readTicketKeys(data map[string][]byte) (keys ticketKeys, bad []string) {
	keys = ticketKeys{}
	for name, value := range data {
		from, err := time.Parse(ticketTime, name)
		if err != nil || len(value) != 32 {
			bad = append(bad, name)
			continue
		}
		keys[from] = [32]byte(value)
	}
	slices.Sort(bad)
	return keys, bad
}

func (k ticketKeys) data() map[string][]byte {
	data := make(map[string][]byte, len(k))
	for from, key := range k {
		data[from.UTC().Format(ticketTime)] = key[:]
	}
	return data
}

// times are in order, the oldest first.
func (k ticketKeys) times() []time.Time { return slices.SortedFunc(maps.Keys(k), time.Time.Compare) }

// current is the time of the key that makes tickets; the oldest if the clock is behind all. It needs at least one key.
func (k ticketKeys) current(now time.Time) time.Time {
	times := k.times()
	i, _ := slices.BinarySearchFunc(times, now.Add(time.Nanosecond), time.Time.Compare)
	return times[max(0, i-1)]
}

// inUse gives the keys in the order that crypto/tls wants: the one that makes tickets first.
func (k ticketKeys) inUse(now time.Time) [][32]byte {
	first := k.current(now)
	out := [][32]byte{k[first]}
	for _, from := range slices.Backward(k.times()) {
		if from != first {
			out = append(out, k[from])
		}
	}
	return out
}

// rotated gives the keys as they ought to be, and whether that is a change: a key for the next period when its time comes near, and no
// more old ones than are accepted.
func (k ticketKeys) rotated(now time.Time) (ticketKeys, bool) {
	now = now.UTC().Truncate(time.Second)
	out := maps.Clone(k)
	maps.DeleteFunc(out, func(from time.Time, _ [32]byte) bool { return from.After(now.Add(2 * ticketPeriod)) }) // nobody's clock
	switch times := out.times(); {
	case len(times) == 0:
		out[now] = newTicketKey()
	case !now.Before(times[len(times)-1].Add(ticketPeriod - ticketLead)):
		out[later(times[len(times)-1].Add(ticketPeriod), now.Add(ticketLead))] = newTicketKey()
	}
	current := out.current(now)
	old := slices.DeleteFunc(out.times(), func(from time.Time) bool { return !from.Before(current) })
	for len(old) > oldTickets {
		delete(out, old[0])
		old = old[1:]
	}
	return out, !maps.Equal(out, k)
}

// nextChange is when inUse changes by itself; zero if it does not.
func (k ticketKeys) nextChange(now time.Time) time.Time {
	for _, from := range k.times() {
		if from.After(now) {
			return from
		}
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func newTicketKey() (key [32]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

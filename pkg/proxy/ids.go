package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// ids makes request ids: 128 random bits in hex, as nginx's. They are no secret, so a generator of each exchange, seeded with real
// chance, will do; it costs a tenth of the runtime's.
type ids struct{ random rand.PCG }

func newIDs() ids {
	return ids{*rand.NewPCG(rand.Uint64(), rand.Uint64())} //nolint:gosec // see ids
}

func (i *ids) next() string {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], i.random.Uint64())
	binary.NativeEndian.PutUint64(bits[8:], i.random.Uint64())
	var text [32]byte
	hex.Encode(text[:], bits[:])
	return string(text[:])
}

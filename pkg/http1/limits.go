package http1

import "time"

// Limits bounds what a peer may send. The zero value of a field is its
// default; there is no way to switch a limit off.
type Limits struct {
	HeadBytes           int // a whole head; 64 KiB; above: 431
	LineBytes           int // request or status line; 16 KiB; above: 414
	FieldBytes          int // one field line; 32 KiB; above: 431
	Fields              int // field lines of a head; 128; above: 431
	ChunkExtensionBytes int // chunk extensions of one body; 4 KiB, at most 7 KiB; above: 400
	TrailerBytes        int // a trailer section; 4 KiB, at most 7 KiB; above: 431
	TrailerFields       int // field lines of a trailer section; 64; above: 431
}

// The most that fits in the buffer along with the rest of a line.
const maxChunkLine = headBuffer - 1024

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.HeadBytes, 64<<10)
	set(&l.LineBytes, 16<<10)
	set(&l.FieldBytes, 32<<10)
	set(&l.Fields, 128)
	set(&l.ChunkExtensionBytes, 4<<10)
	set(&l.TrailerBytes, 4<<10)
	set(&l.TrailerFields, 64)
	l.ChunkExtensionBytes = min(l.ChunkExtensionBytes, maxChunkLine)
	l.TrailerBytes = min(l.TrailerBytes, maxChunkLine)
	return l
}

func (l Limits) body() bodyLimits {
	return bodyLimits{extensions: l.ChunkExtensionBytes, trailer: l.TrailerBytes, fields: l.TrailerFields}
}

// ServerTimeouts are the limits of a client's slowness. Zero is the default,
// a negative value no limit.
type ServerTimeouts struct {
	FirstByte time.Duration // from accepting to the first byte; 30 s; then closed silently
	Head      time.Duration // from the first byte of a head to its end; 30 s; then 408
	BodyIdle  time.Duration // between two reads of a body; 60 s; then 408
	WriteIdle time.Duration // without progress in writing; 60 s; then reset
	KeepAlive time.Duration // between two requests; 75 s; then closed silently
	Linger    time.Duration // how long a refused client may go on sending before it is cut off; 5 s
}

func (t ServerTimeouts) withDefaults() ServerTimeouts {
	t.FirstByte = defaultDuration(t.FirstByte, 30*time.Second)
	t.Head = defaultDuration(t.Head, 30*time.Second)
	t.BodyIdle = defaultDuration(t.BodyIdle, 60*time.Second)
	t.WriteIdle = defaultDuration(t.WriteIdle, 60*time.Second)
	t.KeepAlive = defaultDuration(t.KeepAlive, 75*time.Second)
	t.Linger = defaultDuration(t.Linger, 5*time.Second)
	return t
}

// Timeouts are the limits of an upstream's slowness, for one request. Zero is
// the default, a negative value no limit.
type Timeouts struct {
	Connect   time.Duration // for Dial, TLS handshake included; 5 s
	FirstByte time.Duration // from the request's last byte to the first of a final response head; 60 s
	ReadIdle  time.Duration // between two reads of a response body; 60 s
	WriteIdle time.Duration // without progress in writing; 60 s (up to a quarter more)
	// Continue is how long a request with "Expect: 100-continue" waits for
	// the upstream's 100 before its body is sent anyway. A body that has an
	// Arriving method, as the Server's has, is also sent when that says that
	// its client does not wait. Zero or less: the field is not forwarded and
	// the body is sent at once.
	Continue time.Duration
}

func (t Timeouts) or(d Timeouts) Timeouts {
	t.Connect = defaultDuration(t.Connect, d.Connect)
	t.FirstByte = defaultDuration(t.FirstByte, d.FirstByte)
	t.ReadIdle = defaultDuration(t.ReadIdle, d.ReadIdle)
	t.WriteIdle = defaultDuration(t.WriteIdle, d.WriteIdle)
	t.Continue = defaultDuration(t.Continue, d.Continue)
	return t
}

// standardTimeouts are the documented defaults.
func standardTimeouts() Timeouts {
	return Timeouts{Connect: 5 * time.Second, FirstByte: 60 * time.Second, ReadIdle: 60 * time.Second, WriteIdle: 60 * time.Second}
}

func defaultDuration(v, d time.Duration) time.Duration {
	if v == 0 {
		return d
	}
	return v
}

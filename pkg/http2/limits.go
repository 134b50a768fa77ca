package http2

import "time"

// Limits bounds what a client may send. The zero value of a field is its default.
type Limits struct {
	HeadBytes        int // a field section, counted as in RFC 9113 section 6.5.2; 64 KiB; above: 431
	Fields           int // fields of a section; 128; above: 431
	Streams          int // requests in flight; 128; above: REFUSED_STREAM
	StreamWindow     int // bytes of a request body that wait for the handler; 512 KiB
	ConnectionWindow int // the same for all streams of a connection; 1 MiB
	Idle             int // frames that ask for nothing, and resets, beyond those that requests pay for; 1000 and 200; see floodlimit.go
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.HeadBytes, 64<<10)
	set(&l.Fields, 128)
	set(&l.Streams, 128)
	set(&l.StreamWindow, 512<<10)
	set(&l.ConnectionWindow, 1<<20)
	set(&l.Idle, 1000)
	l.ConnectionWindow = max(l.ConnectionWindow, 65535)
	return l
}

// Timeouts bounds a client's slowness. The zero value of a field is its default.
type Timeouts struct {
	Preface   time.Duration // from the start to the first SETTINGS; 10 s
	Head      time.Duration // from the start of a frame or field section to its end; 30 s
	BodyIdle  time.Duration // a handler's wait for body bytes; 60 s
	WriteIdle time.Duration // without progress in writing, or without window; 60 s (up to a quarter more)
	KeepAlive time.Duration // without a stream; 75 s (up to a quarter more)
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&t.Preface, 10*time.Second)
	set(&t.Head, 30*time.Second)
	set(&t.BodyIdle, time.Minute)
	set(&t.WriteIdle, time.Minute)
	set(&t.KeepAlive, 75*time.Second)
	return t
}

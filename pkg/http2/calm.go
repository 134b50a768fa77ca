package http2

// calm counts what a client makes us do for nothing. Requests that were
// answered and DATA that was sent pay for some of it, so that a busy client may
// reset and ping in proportion; one that does nothing else runs out. A client of
// gRPC pings after DATA to measure the way, and every few seconds while its
// stream rests for days: so a little is forgiven with time as well.
//
// What has an answer to give is counted. WINDOW_UPDATE that no answer waits for
// has none: it costs a comparison and an addition, and no bound is put on it.
type calm struct {
	limit  int
	resets int // streams that ended before their answer, whoever reset them
	idle   int // frames that ask for nothing
}

// reset counts a stream that ended before its answer: RST_STREAM from the
// client (CVE-2023-44487) or from us because of what the client sent
// (CVE-2025-8671).
func (c *calm) reset() error {
	if c.resets++; c.resets > max(c.limit/5, 1) {
		return broken(codeEnhanceYourCalm, "too-many-resets")
	}
	return nil
}

// nothing counts a frame that asks for nothing.
func (c *calm) nothing() error {
	if c.idle++; c.idle > c.limit {
		return broken(codeEnhanceYourCalm, "too-many-idle-frames")
	}
	return nil
}

// paid forgives idle frames that DATA or time has paid for.
func (c *calm) paid(n int) { c.idle = max(c.idle-n, 0) }

const (
	paidByData = 2  // for each DATA frame that was not cut small by the client's window
	paidByBeat = 32 // for each beat of the connection's clock, which are 15 s apart by default
)

// useful pays for one reset and a few idle frames.
func (c *calm) useful() {
	c.resets = max(c.resets-1, 0)
	c.idle = max(c.idle-10, 0)
}

package http2

// calm counts what a client makes us do for nothing. Requests that were
// answered and body bytes that were wanted pay for some of it, so that a busy
// client may reset and ping in proportion; one that does nothing else runs out.
// All figures are counts, so the outcome does not depend on the machine's speed.
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

// useful pays for one reset and a few idle frames.
func (c *calm) useful() {
	c.resets = max(c.resets-1, 0)
	c.idle = max(c.idle-10, 0)
}

package http2

// floodLimit counts what a client makes us do for nothing. Requests that were
// answered and DATA that was sent pay for some of it, so that a busy client may
// reset and ping in proportion; one that does nothing else runs out. A client of
// gRPC pings after DATA to measure the way, and every few seconds while its
// stream rests for days: so a little is forgiven with time as well.
//
// What has an answer to give is counted. WINDOW_UPDATE that no answer waits for
// has none: it costs a comparison and an addition, and no bound is put on it.
type floodLimit struct {
	limit  int
	resets int // streams that ended before their answer, whoever reset them
	idle   int // frames that ask for nothing
}

// reset counts a stream that ended before its answer: RST_STREAM from the
// client (CVE-2023-44487) or from us because of what the client sent
// (CVE-2025-8671).
func (f *floodLimit) reset() error {
	if f.resets++; f.resets > max(f.limit/5, 1) {
		return broken(codeEnhanceYourCalm, "too-many-resets")
	}
	return nil
}

// idleFrame counts a frame that asks for nothing.
func (f *floodLimit) idleFrame() error {
	if f.idle++; f.idle > f.limit {
		return broken(codeEnhanceYourCalm, "too-many-idle-frames")
	}
	return nil
}

// forgive takes back idle frames that DATA or time has paid for.
func (f *floodLimit) forgive(n int) { f.idle = max(f.idle-n, 0) }

const (
	paidByData = 2  // for each DATA frame that was not cut small by the client's window
	paidByBeat = 32 // for each beat of the connection's clock, which are 15 s apart by default
)

// useful pays for one reset and a few idle frames.
func (f *floodLimit) useful() {
	f.resets = max(f.resets-1, 0)
	f.idle = max(f.idle-10, 0)
}

package http2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// attack is a client that says the same over and over, as fast as it is read. It ends when it is told to go. What it makes the server do
// is counted: bytes taken, bytes answered and, by the runtime, bytes allocated. No figure depends on the machine's speed.
type attack struct {
	net.Conn // never used
	once     []byte
	again    func(i int) []byte
	turn     int
	left     []byte
	taken    int
	answered int
	frames   []byte // of the answer, as far as they are not whole
	gone     bool
}

const attackMost = 64 << 20 // what a client may say before the test gives up

func (a *attack) Read(p []byte) (int, error) {
	if a.gone || a.taken > attackMost {
		return 0, io.EOF
	}
	for len(a.left) == 0 {
		if a.once != nil {
			a.left, a.once = a.once, nil
			continue
		}
		a.left = a.again(a.turn)
		a.turn++
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	a.taken += n
	return n, nil
}

func (a *attack) Write(p []byte) (int, error) {
	a.answered += len(p)
	for a.frames = append(a.frames, p...); len(a.frames) >= frameHeader; {
		size := frameHeader + int(binary.BigEndian.Uint32(a.frames)>>8)
		if len(a.frames) < size {
			break
		}
		a.gone = a.gone || a.frames[3] == frameGoAway
		a.frames = append(a.frames[:0], a.frames[size:]...)
	}
	return len(p), nil
}

func (a *attack) Close() error                     { return nil }
func (a *attack) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (a *attack) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (a *attack) SetReadDeadline(time.Time) error  { return nil }
func (a *attack) SetWriteDeadline(time.Time) error { return nil }
func (a *attack) SetDeadline(time.Time) error      { return nil }

// said makes a frame.
func said(kind, flags byte, stream uint32, payload string) []byte {
	b := appendFrameHeader(nil, len(payload), kind, flags)
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// section makes a field section that uses no table.
func section(fields ...string) string {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSizeLimit(0)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.String()
}

// Each attack ends after a bounded amount of work: bytes read, bytes answered, and memory allocated from its begin to its end, garbage
// included, which is more than it can ever hold.
func TestAttacksAreCheap(t *testing.T) {
	request := section(sound()...)
	open := func(i int) uint32 { return uint32(2*i + 1) }
	once := func(b []byte) func(int) []byte { return func(int) []byte { return b } }
	attacks := []struct {
		about     string
		once      []byte
		again     func(i int) []byte
		taken     int // KiB at most
		answered  int
		allocated int
	}{
		{"PING", nil, once(said(framePing, 0, 0, "12345678")), 32, 32, 128},
		{"PING ACK", nil, once(said(framePing, flagAck, 0, "12345678")), 32, 1, 64},
		{"SETTINGS", nil, once(said(frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x00")), 32, 16, 128},
		{"full SETTINGS", nil, once(said(frameSettings, 0, 0, strings.Repeat("\x00\x04\x00\x00\x00\x00", 2730))), 64, 1, 128},
		{"SETTINGS ACK", nil, once(said(frameSettings, flagAck, 0, "")), 32, 1, 64},
		{"PRIORITY", nil, once(said(framePriority, 0, 1, "\x00\x00\x00\x00\x10")), 32, 1, 64},
		{"unknown frames of full size", nil, once(said(0xbb, 0, 0, strings.Repeat("x", maxFrame))), 17 << 10, 1, 128},
		{"empty DATA", said(frameHeaders, flagEndHeaders, 1, section(post()...)), once(said(frameData, 0, 1, "")), 32, 1, 128},
		{"padding only", said(frameHeaders, flagEndHeaders, 1, section(post()...)), once(said(frameData, flagPadded, 1, "\xff"+strings.Repeat("\x00", 255))), 512, 8, 128},
		{"rapid reset", nil, func(i int) []byte {
			return append(said(frameHeaders, flagEndHeaders|flagEndStream, open(i), request), said(frameReset, 0, open(i), "\x00\x00\x00\x08")...)
		}, 64, 64, 1024},
		{"resets made by us", nil, func(i int) []byte {
			return append(said(frameHeaders, flagEndHeaders|flagEndStream, open(i), request), said(frameWindowUpdate, 0, open(i), "\x00\x00\x00\x00")...)
		}, 64, 64, 1024},
		{"malformed requests", nil, func(i int) []byte { return said(frameHeaders, flagEndHeaders, open(i), section(sound("X", "y")...)) }, 64, 16, 256},
		{"CONTINUATION", said(frameHeaders, 0, 1, request), once(said(frameContinuation, 0, 1, strings.Repeat("\x82", maxFrame))), 256, 1, 256},
		{"empty CONTINUATION", said(frameHeaders, 0, 1, request), once(said(frameContinuation, 0, 1, "")), 16, 1, 64},
		{"CONTINUATION of one name", said(frameHeaders, 0, 1, request), once(said(frameContinuation, 0, 1, "\x00\x01x\x01y")), 16, 1, 64},
		{"a string without end", said(frameHeaders, 0, 1, "\x00\x7f\x80\x80\x04"), once(said(frameContinuation, 0, 1, strings.Repeat("x", maxFrame))), 256, 1, 1024},
		{"a table that is filled anew", nil, func(i int) []byte {
			return said(frameHeaders, flagEndHeaders, open(i), request+"\x40\x01X"+"\x7f\xe1\x1e"+strings.Repeat("y", 4000))
		}, 1 << 10, 16, 4 << 10},
	}
	for _, a := range attacks {
		t.Run(a.about, func(t *testing.T) {
			h := &holding{leave: make(chan struct{})}
			s, kinds := counted(&Server{Handler: h, Limits: Limits{Streams: 10}})
			client := &attack{once: append([]byte(preface), append(said(frameSettings, 0, 0, ""), a.once...)...), again: a.again}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			time.AfterFunc(time.Minute, func() { client.gone = true }) // ends a test that would hang
			go func() {
				for kind := range kinds { // the connection waits for its handlers
					if strings.HasPrefix(kind, "too-many") || strings.HasPrefix(kind, "headers-too") || kind == "hpack" {
						close(h.leave)
						return
					}
				}
			}()
			s.ServeConn(client)
			runtime.ReadMemStats(&after)
			allocated := int(after.TotalAlloc - before.TotalAlloc)
			if !client.gone || client.taken > a.taken<<10 || client.answered > a.answered<<10 || allocated > a.allocated<<10 {
				t.Errorf("cut: %t; %d KiB taken, %d answered, %d allocated; at most %d, %d, %d", client.gone, client.taken>>10, client.answered>>10, allocated>>10, a.taken, a.answered, a.allocated)
			}
			if most := h.most.Load(); most > 10 {
				t.Errorf("%d handlers at once", most)
			}
		})
	}
}

// WINDOW_UPDATE that nobody waits for costs nothing but the reading of it: no answer, no memory.
func TestWindowUpdatesAreFree(t *testing.T) {
	client := &attack{once: append([]byte(preface), said(frameSettings, 0, 0, "")...)}
	client.again = func(i int) []byte {
		client.gone = i == 100_000
		return updateOfOne
	}
	s := &Server{Handler: http.HandlerFunc(quick)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.ServeConn(client)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; client.answered > 256 || allocated > 64<<10 {
		t.Errorf("%d bytes answered, %d allocated", client.answered, allocated)
	}
}

var updateOfOne = said(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01")

package pool

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// readFrom is a connection that reads from r.
type readFrom struct {
	net.Conn
	r io.Reader
}

func (c readFrom) Read(p []byte) (int, error) { return c.r.Read(p) }

// response is the frames of one, its fields in as many frames as there are pieces.
func response(t testing.TB, encoder *hpack.Encoder, block *bytes.Buffer, stream uint32, pieces int, fields ...string) []byte {
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	each := block.Len()/pieces + 1
	_ = framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Next(each), EndHeaders: block.Len() == 0, PadLength: 7, Priority: http2.PriorityParam{Weight: 3},
	})
	for block.Len() > 0 {
		fragment := block.Next(each)
		_ = framer.WriteContinuation(stream, block.Len() == 0, fragment)
	}
	_ = framer.WriteData(stream, true, []byte("body"))
	return out.Bytes()
}

// TestBadLengthsAreMarked: of many responses on one connection, whose fields are compressed by what came before and come in one piece or
// several, those with a bad length are marked, and the fields of all can still be read.
func TestBadLengthsAreMarked(t *testing.T) {
	lengths := map[string]bool{"": true, "4": true, "4 4": true, "4 5": false, "4,4": false, "x": false, "-4": false, "+4": false}
	for _, pieces := range []int{1, 2, 5} {
		for name, reader := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader} {
			var sent, block bytes.Buffer
			encoder, stream, want := hpack.NewEncoder(&block), uint32(1), map[uint32]bool{}
			for range 3 {
				for length, good := range lengths {
					fields := []string{":status", "200", "server", "a server", "etag", strings.Repeat(length, 9)}
					for one := range strings.FieldsSeq(length) {
						fields = append(fields, "content-length", one)
					}
					sent.Write(response(t, encoder, &block, stream, pieces, fields...))
					sent.Write(response(t, encoder, &block, stream, pieces, "content-length", "trailers are not looked at"))
					want[stream] = good
					stream += 2
				}
			}
			framer := http2.NewFramer(nil, newLengthReader(readFrom{r: reader(&sent)}))
			framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			for {
				f, err := framer.ReadFrame()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				head, ok := f.(*http2.MetaHeadersFrame)
				if !ok || head.PseudoValue("status") == "" {
					continue
				}
				good := true
				for _, field := range head.Fields {
					good = good && field.Name != strings.ToLower(badLengths)
				}
				if good != want[head.StreamID] {
					t.Errorf("%s, %d pieces, stream %d: good %t, want %t", name, pieces, head.StreamID, good, want[head.StreamID])
				}
				delete(want, head.StreamID)
			}
			if len(want) > 0 {
				t.Errorf("%s, %d pieces: not seen: %v", name, pieces, want)
			}
		}
	}
}

// FuzzLengthReader: whatever comes passes as it came, but for marks.
func FuzzLengthReader(f *testing.F) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	good := response(f, encoder, &block, 1, 1, ":status", "200", "content-length", "4")
	f.Add(good)
	f.Add(append(good, response(f, encoder, &block, 3, 3, ":status", "200", "content-length", "4", "content-length", "5")...))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{0, 0, 1, headersFrame, padded | endHeaders, 0, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, sent []byte) {
		got, err := io.ReadAll(newLengthReader(readFrom{r: bytes.NewReader(sent)}))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(got, []byte("usher-bad-content-length")) {
			return // the frame before it lost its END_HEADERS
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes, want %d: %q, want %q", len(got), len(sent), got, sent)
		}
	})
}

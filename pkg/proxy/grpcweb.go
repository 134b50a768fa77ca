package proxy

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/http1"
)

// gRPC-Web is gRPC for browsers, which can neither read trailers nor insist on HTTP/2. Its messages are gRPC's. The trailers come as a
// last frame of the body, marked by the highest bit of its first byte, and everything may be base64, for clients that take text only:
//
//	POST, application/grpc-web(+proto)        ->  application/grpc(+proto), TE: trailers
//	POST, application/grpc-web-text(+proto)   ->  the same, its body decoded
//
// An answer without messages has its status among the fields of the head, and stays as it is.

const (
	webType     = "application/grpc-web"
	webTextType = "application/grpc-web-text"
)

// webHead makes the head of gRPC's answer one of gRPC-Web. What is no answer of gRPC stays as it is.
func (x *exchange) webHead() {
	res := x.response
	if !x.Web.On || !isGRPC(res.Header) {
		x.Web.On = false
		return
	}
	kind := webType
	if x.Web.Text {
		kind = webTextType
	}
	suffix := strings.TrimPrefix(first(res.Header["Content-Type"]), "application/grpc")
	res.Header["Content-Type"] = []string{kind + suffix}
	delete(res.Header, "Content-Length")
	res.ContentLength, res.Trailer = -1, nil
}

// copyWeb copies messages as they come, and then the trailers.
func (x *exchange) copyWeb(to io.Writer) (sent int64, err error) {
	buffer := x.proxy.buffers.Get().(*copyBuffer)
	defer x.proxy.buffers.Put(buffer)
	if err := x.flush(); err != nil {
		return 0, err
	}
	for {
		n, rerr := x.response.Body.Read(buffer[:])
		if n > 0 {
			m, werr := x.sendWeb(to, buffer[:n])
			if sent += m; werr != nil {
				return sent, werr
			}
		}
		switch {
		case errors.Is(rerr, io.EOF):
			m, werr := x.sendTrailer(to, x.response.Trailer)
			return sent + m, werr
		case rerr != nil:
			return sent, rerr
		}
	}
}

func (x *exchange) sendWeb(to io.Writer, p []byte) (int64, error) {
	if x.Web.Text {
		p = base64.StdEncoding.AppendEncode(nil, p) // padded wherever it ends, as clients must expect
	}
	n, err := to.Write(p)
	if err == nil {
		err = x.flush()
	}
	return int64(n), err
}

// sendTrailer sends trailers as a frame. Without any there was no message either: the status was in the head.
func (x *exchange) sendTrailer(to io.Writer, trailer http.Header) (int64, error) {
	if len(trailer) == 0 {
		return 0, nil
	}
	frame := []byte{0x80, 0, 0, 0, 0}
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range trailer[name] {
			frame = append(append(append(append(frame, strings.ToLower(name)...), ": "...), value...), "\r\n"...)
		}
	}
	binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-5)) //nolint:gosec // the trailers of a message are few
	return x.sendWeb(to, frame)
}

// textReader decodes base64 that may be padded after any four characters.
type textReader struct {
	from io.Reader
	in   [4096]byte
	held int // characters in in
	out  []byte
	err  error
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		n, err := t.from.Read(t.in[t.held:])
		t.held += n
		t.err = err
		t.decode()
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

// decode takes all groups of four.
func (t *textReader) decode() {
	whole := t.held &^ 3
	out := make([]byte, 0, whole/4*3)
	for i := 0; i < whole; i += 4 {
		var group [3]byte
		n, err := base64.StdEncoding.Strict().Decode(group[:], t.in[i:i+4])
		if err != nil {
			t.fail(err)
			break
		}
		out = append(out, group[:n]...)
	}
	t.held = copy(t.in[:], t.in[whole:t.held])
	if t.held > 0 && errors.Is(t.err, io.EOF) {
		t.fail(io.ErrUnexpectedEOF)
	}
	t.out = out
}

func (t *textReader) fail(err error) {
	t.err = &http1.BodyError{Status: http.StatusBadRequest, Reason: "bad-base64", Err: err}
}

package http1

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/field"
)

// appendStatusLine writes a status line (RFC 9112 4).
func appendStatusLine(b []byte, status int) []byte {
	if status == http.StatusOK {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// fieldFilter says which fields of a map are not written.
type fieldFilter struct {
	dropped  []string // fields that Connection named, as lists
	trailers []string // announced trailers, sent at the end
}

// noted are the fields of a map that decide about the rest of the head. They
// are found while the map is written, since a lookup for each would cost as
// much as the writing.
type noted struct {
	length, connection, trailer []string
	date                        bool
}

func (n *noted) field(id fieldID, values []string) {
	switch id {
	case idContentLength:
		n.length = values
	case idConnection:
		n.connection = values
	case idTrailer:
		n.trailer = values
	case idDate:
		n.date = true
	}
}

// appendFields writes a header map without what belongs to the connection.
func appendFields(b []byte, h http.Header, f fieldFilter, n *noted) []byte {
	for name, values := range h {
		id := lookupName(name)
		if id == idNone && !field.IsToken(name) { // http.TrailerPrefix has a colon
			continue
		}
		if id != idNone && id < firstOtherID {
			n.field(id, values)
			if hopByHop(id) {
				continue
			}
		}
		if f.dropped != nil && listed(f.dropped, name) || f.trailers != nil && among(f.trailers, name) {
			continue
		}
		b = appendField(b, name, values)
	}
	return b
}

// appendField writes one field line for each value. Bytes that would end the
// line become spaces, as with net/http.
func appendField(b []byte, name string, values []string) []byte {
	for _, v := range values {
		b = append(b, name...)
		b = append(b, ": "...)
		if isFieldValue(v) {
			b = append(b, v...)
		} else {
			b = append(b, withoutControls(v)...)
		}
		b = append(b, "\r\n"...)
	}
	return b
}

func withoutControls(v string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, v))
}

// listed reports whether a comma-separated list holds name, in any case.
func listed(lists []string, name string) bool {
	for _, list := range lists {
		for list != "" {
			var e string
			e, list = nextElement(list)
			if len(e) == len(name) && sameName(name, e) {
				return true
			}
		}
	}
	return false
}

func among(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// renderHead writes status line and fields, without the framing.
func (w *response) renderHead() {
	b, n := w.appendHead(w.buf[:0], fieldFilter{})
	if n.connection != nil || n.trailer != nil { // which other fields are not written?
		f := fieldFilter{dropped: n.connection}
		if len(n.trailer) > 0 && w.x.head.minor > 0 && !w.bodyless {
			w.trailers = trailerNames(n.trailer)
			f.trailers = w.trailers
		}
		b, n = w.appendHead(w.buf[:0], f)
	}
	w.declareLength(n.length)
	w.closing = w.closing || listed(n.connection, "close")
	if !n.date {
		b = append(b, "Date: "...)
		b = append(b, w.x.conn.server.dateNow()...)
		b = append(b, "\r\n"...)
	}
	if len(w.trailers) > 0 {
		b = append(b, "Trailer: "...)
		b = append(b, strings.Join(w.trailers, ", ")...)
		b = append(b, "\r\n"...)
	}
	w.headLen = len(b)
	w.buf = appendGap(b)
}

func (w *response) appendHead(b []byte, f fieldFilter) ([]byte, noted) {
	var n noted
	b = appendStatusLine(b, w.status)
	b = appendFields(b, w.header, f, &n)
	if w.passed != nil {
		b = appendFields(b, w.passed, f, &n)
	}
	return b, n
}

func appendGap(b []byte) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for range gap / len(zeros) {
		b = append(b, zeros...)
	}
	return b
}

// declareLength reads the handler's Content-Length. One that is no number is
// ignored.
func (w *response) declareLength(v []string) {
	if len(v) == 1 {
		if n, ok := digits(v[0]); ok {
			w.declared = n
		}
	}
}

// dateStamp is a Date value and the second it is for.
type dateStamp struct {
	second int64
	text   string
}

// dateNow returns the value of Date, made once a second.
func (s *Server) dateNow() string {
	t := time.Now()
	if d := s.date.Load(); d != nil && d.second == t.Unix() {
		return d.text
	}
	d := &dateStamp{t.Unix(), t.UTC().Format(http.TimeFormat)}
	s.date.Store(d)
	return d.text
}

package proxy

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Format is how a line of the access log looks.
type Format uint8

// The formats.
const (
	JSON  Format = iota // one object a line
	Nginx               // ingress-nginx's default line, for parsers that are there already
)

// appendJSONRecord renders a record. Names are those of nginx's variables where there is one.
func appendJSONRecord(b []byte, r *Record) []byte {
	b = appendTime(append(b, `{"time":"`...), r.Time)
	b = append(b, `","request_id":`...)
	b = appendJSON(b, r.ID)
	b = appendMember(b, "client", r.Client)
	b = appendMember(b, "method", r.Method)
	b = appendMember(b, "scheme", r.Scheme)
	b = appendMember(b, "host", r.Host)
	b = appendMember(b, "uri", r.Target)
	b = appendMember(b, "proto", r.Proto)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(r.Status), 10)
	if r.Reason != "" {
		b = appendMember(b, "reason", string(r.Reason))
	}
	if r.Error != "" {
		b = appendMember(b, "error", r.Error)
	}
	b = appendSeconds(append(b, `,"duration":`...), r.Duration)
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), r.Received, 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), r.Sent, 10)
	if r.Route != nil {
		b = appendMember(b, "namespace", r.Route.Ingress.Namespace)
		b = appendMember(b, "ingress", r.Route.Ingress.Name)
		b = appendMember(b, "path", r.Route.Path)
	}
	if r.Backend != nil {
		b = appendMember(b, "service", r.Backend.Service)
		b = appendMember(b, "port", r.Backend.Port)
	}
	b = appendJSONTries(b, r.Tries)
	b = appendMember(b, "user_agent", first(r.Request.Header["User-Agent"]))
	b = appendMember(b, "referer", first(r.Request.Header["Referer"]))
	return append(b, "}\n"...)
}

func appendJSONTries(b []byte, tries []Try) []byte {
	if len(tries) == 0 {
		return b
	}
	b = append(b, `,"upstream":[`...)
	for i, t := range tries {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(append(b, `{"address":`...), t.Address)
		b = strconv.AppendInt(append(b, `,"status":`...), int64(t.Status), 10)
		b = appendSeconds(append(b, `,"duration":`...), t.Duration)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendTime writes an instant as RFC 3339 with milliseconds, in UTC. It is time.Time.AppendFormat at a quarter of the cost.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendPair(appendPair(b, year/100), year%100)
	b = appendPair(append(b, '-'), int(month))
	b = appendPair(append(b, '-'), day)
	b = appendPair(append(b, 'T'), hour)
	b = appendPair(append(b, ':'), minute)
	b = appendPair(append(b, ':'), second)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

func appendPair(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

func appendMember(b []byte, name, value string) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	return appendJSON(b, value)
}

// appendSeconds writes seconds with three decimals, as nginx does.
func appendSeconds(b []byte, d time.Duration) []byte {
	ms := max(d, 0).Milliseconds()
	b = strconv.AppendInt(b, ms/1000, 10)
	return append(b, '.', byte('0'+ms%1000/100), byte('0'+ms%100/10), byte('0'+ms%10))
}

// plainJSON are the bytes that stand for themselves in a JSON string. Never written.
var plainJSON = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

const hexDigits = "0123456789abcdef"

// appendJSON writes a JSON string. Bytes that are not UTF-8 become the replacement character.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainJSON[c] {
			i++
			continue
		}
		if c >= 0x80 {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x80:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

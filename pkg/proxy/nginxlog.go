package proxy

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// appendNginxRecord renders ingress-nginx's default line:
//
//	client - user [time] "request line" status bytes "referer" "user agent" request-length request-time [upstream] [alternative]
//	address response-length response-time status request-id
//
// Several tries are lists in the fields about the upstream, in nginx's way: "10.0.0.1:80, 10.0.0.2:80". The request length is that of
// the body.
func appendNginxRecord(b []byte, r *Record) []byte {
	b = appendField(b, r.Client)
	b = append(b, " - "...)
	b = appendField(b, userOf(first(r.Request.Header["Authorization"])))
	b = append(b, " ["...)
	b = r.Time.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendQuoted(b, r.Method)
	b = appendQuoted(append(b, ' '), r.Target)
	b = appendQuoted(append(b, ' '), r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = strconv.AppendInt(append(b, ' '), r.Sent, 10)
	b = appendField(append(b, ` "`...), first(r.Request.Header["Referer"]))
	b = appendField(append(b, `" "`...), first(r.Request.Header["User-Agent"]))
	b = strconv.AppendInt(append(b, `" `...), r.Received, 10)
	b = appendSeconds(append(b, ' '), r.Duration)
	b = append(b, " ["...)
	if r.Backend != nil {
		b = append(append(append(b, r.Backend.Namespace...), '-'), r.Backend.Service...)
		b = append(append(b, '-'), r.Backend.Port...)
	}
	b = append(b, "] [] "...)
	b = appendNginxTries(b, r)
	b = appendField(append(b, ' '), r.ID)
	return append(b, '\n')
}

// appendNginxTries writes addresses, response lengths, times and statuses of the endpoints asked. Only the last one's length is known
// to be more than nothing.
func appendNginxTries(b []byte, r *Record) []byte {
	if len(r.Tries) == 0 {
		return append(b, "- - - -"...)
	}
	b = appendList(b, r.Tries, func(b []byte, t Try, _ bool) []byte { return append(b, t.Address...) })
	b = appendList(append(b, ' '), r.Tries, func(b []byte, t Try, last bool) []byte {
		if last && t.Status != 0 {
			return strconv.AppendInt(b, r.Sent, 10)
		}
		return append(b, '0')
	})
	b = appendList(append(b, ' '), r.Tries, func(b []byte, t Try, _ bool) []byte { return appendSeconds(b, t.Duration) })
	return appendList(append(b, ' '), r.Tries, func(b []byte, t Try, last bool) []byte {
		switch {
		case t.Status != 0:
			return strconv.AppendInt(b, int64(t.Status), 10)
		case last:
			return strconv.AppendInt(b, int64(r.Status), 10)
		}
		return append(b, "502"...)
	})
}

func appendList(b []byte, tries []Try, one func([]byte, Try, bool) []byte) []byte {
	for i, t := range tries {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = one(b, t, i == len(tries)-1)
	}
	return b
}

// appendField writes a value, or "-" for an empty one.
func appendField(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendQuoted(b, s)
}

// appendQuoted escapes as nginx's default log format: quotes, backslashes, control bytes and all above 0x7e become \xHH.
func appendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
			continue
		}
		const upper = "0123456789ABCDEF"
		b = append(b, '\\', 'x', upper[c>>4], upper[c&15])
	}
	return b
}

// userOf is the user of Basic credentials, which is logged as nginx does.
func userOf(authorization string) string {
	const scheme = "basic "
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return ""
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(authorization[len(scheme):]))
	if err != nil {
		return ""
	}
	user, _, _ := strings.Cut(string(decoded), ":")
	return user
}

package server

import (
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/usher-ingress/usher/pkg/sock"
)

// handshake ends TLS, within its time limit and in the connection's own goroutine, so that a slow client delays nobody. It returns what
// the two sides agreed to speak: asking the connection later takes room on the stack of everything that follows.
func (s *Server) handshake(conn net.Conn, config *tls.Config) (secure *tls.Conn, protocol string, ok bool) {
	_ = conn.SetDeadline(time.Now().Add(s.limits.Handshake + rand.N(s.limits.Handshake/8+1))) // clients that came together do not end together
	secure = tls.Server(sock.Direct(conn), config)
	err := secure.Handshake()
	if err != nil {
		s.observer.HandshakeDone(cause(err))
		answerPlain(err)
		return nil, "", false
	}
	state := secure.ConnectionState()
	if state.DidResume {
		s.observer.HandshakeDone(handshakeResumed)
	} else {
		s.observer.HandshakeDone(handshakeOK)
	}
	_ = conn.SetDeadline(time.Time{})
	return secure, state.NegotiatedProtocol, true
}

// answerPlain tells a client that sent plain HTTP to the TLS port what it did; everybody types that URL once.
func answerPlain(err error) {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil || !looksLikeHTTP(record.RecordHeader) {
		return
	}
	_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+
		"This port speaks HTTPS, and the request came as plain HTTP.\n")
}

// looksLikeHTTP recognises the first five bytes of a request line.
func looksLikeHTTP(start [5]byte) bool {
	switch string(start[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// isProxyHeader recognises the first bytes of a PROXY protocol header of either version.
func isProxyHeader(start []byte) bool {
	return startsAs(start, proxyproto.SIGV1) || startsAs(start, proxyproto.SIGV2)
}

// Results of handshakes, as the Observer is told. The list is closed, since it becomes a metric label.
const (
	handshakeOK       = "ok"
	handshakeResumed  = "resumed"             // ok, by a session ticket
	clientLeft        = "client-left"         // closed the connection, as health checks of load balancers do
	handshakeTimeout  = "timeout"             // see Limits.Handshake
	notTLS            = "not-tls"             // most often plain HTTP to the HTTPS port
	proxyHeader       = "proxy-header"        // PROXY protocol, from a peer it is not expected from; see introduce
	oldVersion        = "unsupported-version" // below TLS 1.2
	noCommonCipher    = "no-common-cipher"    // nor signature algorithm or curve
	noCommonProtocol  = "no-common-protocol"  // ALPN
	unknownName       = "unknown-name"        // ssl-reject-handshake
	certificateDenied = "certificate-refused" // the client does not trust ours
	clientAlert       = "client-alert"        // the client gave up for another reason
	malformedHello    = "malformed"
)

// cause maps an error of a handshake to its name. crypto/tls has types for few of its errors, so the rest goes by their words;
// the test does every one of them for real.
func cause(err error) string {
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return handshakeTimeout
	case errors.As(err, &record) && isProxyHeader(record.RecordHeader[:]):
		return proxyHeader
	case errors.As(err, &record):
		return notTLS
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		return clientLeft
	}
	return causeByWords(err)
}

func causeByWords(err error) string {
	words := err.Error()
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(words, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("connection reset", "broken pipe"):
		return clientLeft
	case has("remote error") && has("certificate", "unknown authority"):
		return certificateDenied
	case has("remote error"):
		return clientAlert
	case has("unsupported versions", "unsupported protocol version", "unsupported SSLv2"):
		return oldVersion
	case has("no certificates configured"):
		return unknownName
	case has("application protocol"):
		return noCommonProtocol
	case has("no cipher suite", "no ECDHE curve", "signature algorithm", "key exchange", "key share", "unsupported curve"):
		return noCommonCipher
	}
	return malformedHello
}

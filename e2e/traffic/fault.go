//go:build linux

package traffic

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// What a POST asks a Pod to do when it has written it into the journal and let FaultDelay pass.
const (
	FaultField = "X-Zero-Fault"
	FaultDelay = "X-Zero-Delay" // in the words of time.ParseDuration
	IDField    = idField

	FaultReset   = "reset"   // reads the body; an RST
	FaultClose   = "close"   // reads the body; a FIN
	FaultUnread  = "unread"  // reads no body; its socket is closed, which makes an RST of it
	FaultKill    = "kill"    // reads no body; the process is killed
	FaultTimeout = "timeout" // reads the body; an answer of 408 that ends the connection
)

type connKey struct{}

func keepConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// faulty gives POSTs that ask for it a fault, and all else to next.
func (a *application) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get(FaultField) != "" {
			a.fault(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *application) fault(w http.ResponseWriter, r *http.Request) {
	fault := r.Header.Get(FaultField)
	if fault != FaultUnread && fault != FaultKill {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	a.write(r)
	delay, err := time.ParseDuration(r.Header.Get(FaultDelay))
	if err != nil {
		panic(err)
	}
	time.Sleep(delay)
	socket := socketOf(r)
	switch fault {
	case FaultReset:
		_ = socket.SetLinger(0)
		_ = socket.Close()
	case FaultClose, FaultUnread:
		_ = socket.Close()
	case FaultKill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case FaultTimeout:
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestTimeout)
	}
}

func socketOf(r *http.Request) *net.TCPConn {
	c := r.Context().Value(connKey{}).(net.Conn)
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*net.TCPConn)
}

// selfSigned is a certificate for a Pod that speaks TLS.
func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, nil
}

package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"
)

// Messages of every size, in both directions at once, over plain sockets and
// TLS on either side.
func TestTunnelCarriesEverything(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	for _, frontTLS := range []bool{false, true} {
		for _, backTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("client tls %t upstream tls %t", frontTLS, backTLS), func(t *testing.T) {
				back := listen(t)
				if backTLS {
					back = tlsListener{back, config}
				}
				go echoUpgraded(back)
				tr := &Transport{Dial: dialMaybeTLS(back.Addr().String(), backTLS)}
				seen := &log{}
				front := serveMaybeTLS(t, &Server{Handler: forward(tr, seen)}, frontTLS, config)
				c, err := dialMaybeTLS(front, frontTLS)(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(patience))
				exchangeMessages(t, &client{t, c, newReader(c)})
				if t.Failed() {
					t.Log(seen)
				}
			})
		}
	}
}

// echoUpgraded accepts upgrades and sends back what comes.
func echoUpgraded(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			r := newReader(c)
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(c, r)
		}()
	}
}

func exchangeMessages(t *testing.T, c *client) {
	c.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	for _, size := range []int{1, 2, 100, 16 << 10, 16<<10 + 1, 100} { // one after the other
		message := bytes.Repeat([]byte{byte(size)}, size)
		c.say(string(message))
		got := make([]byte, size)
		if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	sent, received := crc32.NewIEEE(), crc32.NewIEEE()
	const total = 4 << 20
	go func() {
		for left := total; left > 0; {
			p := make([]byte, min(left, 1+rand.IntN(200000)))
			for i := range p {
				p[i] = byte(rand.Uint32())
			}
			_, _ = sent.Write(p)
			_, _ = c.Write(p)
			left -= len(p)
		}
		_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	n, err := io.Copy(received, c.r)
	if n != total || err != nil || received.Sum32() != sent.Sum32() {
		t.Errorf("%d of %d bytes: %v", n, total, err)
	}
}

// Traffic in one direction keeps the other one open.
func TestTunnelOneWay(t *testing.T) {
	t.Parallel()
	client, clientFar := pair(t)
	upstream, upstreamFar := pair(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := Tunnel(client, []byte("first "), upstream, 2*time.Second)
		done <- err
	}()
	var got bytes.Buffer
	go func() {
		for range 8 {
			_, _ = io.WriteString(clientFar, "x")
			time.Sleep(300 * time.Millisecond)
		}
		_ = closeWrite(clientFar)
	}()
	_, _ = io.Copy(&got, upstreamFar)
	if got.String() != "first xxxxxxxx" {
		t.Error(got.String())
	}
	_ = upstreamFar.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

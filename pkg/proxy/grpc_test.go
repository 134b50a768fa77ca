package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
)

// grpcApp speaks HTTP/2, in the clear or over TLS, and answers each line of a stream at once, with a status in the trailer.
func grpcApp(t *testing.T, secure bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("X-Te", r.Header.Get("Te"))
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = io.WriteString(w, "got "+line)
			w.(http.Flusher).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetUnencryptedHTTP2(!secure)
	s.Config.Protocols.SetHTTP2(secure)
	if secure {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{NextProtos: []string{"h2"}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func speaks(p policy.Protocol) func(s *policy.Set) {
	return func(s *policy.Set) { s.Upstream.Protocol = p }
}

func TestGRPC(t *testing.T) {
	for _, protocol := range []policy.Protocol{policy.GRPC, policy.GRPCS} {
		t.Run(string(protocol), func(t *testing.T) {
			r := newRig(t, tableOf([]string{grpcApp(t, protocol == policy.GRPCS)}, with(speaks(protocol))))
			body, feed := io.Pipe()
			req, _ := http.NewRequest(http.MethodPost, "https://app.test/pkg.Service/Method", body)
			req.Header.Set("Content-Type", "application/grpc")
			req.Header.Set("Te", "trailers")
			res, err := r.client(true).Do(req) // the head comes before the first message
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.ProtoMajor != 2 || res.Header.Get("X-Proto") != "HTTP/2.0" || res.Header.Get("X-Te") != "trailers" {
				t.Errorf("%s %v", res.Proto, res.Header)
			}
			in := bufio.NewReader(res.Body)
			for i := range 5 { // both ways at once
				fmt.Fprintf(feed, "message %d\n", i)
				if line, err := in.ReadString('\n'); line != fmt.Sprintf("got message %d\n", i) {
					t.Fatalf("%q %v", line, err)
				}
			}
			_ = feed.Close()
			if rest, err := io.ReadAll(in); len(rest) != 0 || err != nil {
				t.Errorf("%q %v", rest, err)
			}
			if res.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("trailer %v", res.Trailer)
			}
			if s := r.pool.Snapshot(); s[0].Protocol != string(protocol) || s[0].Picks != 1 {
				t.Errorf("pool %+v", s)
			}
		})
	}
}

func TestGRPCFailures(t *testing.T) {
	silent := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, c := range []struct {
		name    string
		address string
		path    string
		code    int
		reason  policy.Reason
		grpc    string
	}{
		{"refused", nowhere(t), "/", 502, policy.EndpointRefused, "14"},
		{"silent", silent, "/", 504, policy.EndpointTimeout, "14"},
		{"not HTTP/2", app(t, echo), "/", 502, policy.EndpointReset, "14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, tableOf([]string{c.address}, with(func(s *policy.Set) {
				speaks(policy.GRPC)(s)
				s.Timeouts.Read = time.Second
			})))
			req, _ := http.NewRequest(http.MethodPost, "https://app.test"+c.path, http.NoBody)
			req.Header.Set("Content-Type", "application/grpc")
			res, err := r.client(true).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			status(t, res, c.code, c.reason)
			if res.Header.Get("Grpc-Status") != c.grpc || res.Header.Get("Grpc-Message") != string(c.reason) {
				t.Errorf("%v", res.Header)
			}
		})
	}
}

// TestQuietGRPCStreamEnds: silence in both directions for the read timeout.
func TestQuietGRPCStreamEnds(t *testing.T) {
	r := newRig(t, tableOf([]string{grpcApp(t, false)}, with(func(s *policy.Set) {
		speaks(policy.GRPC)(s)
		s.Timeouts.Read = time.Second // for the head too, which is not what is awaited here
	})))
	body, feed := io.Pipe()
	defer feed.Close()
	req, _ := http.NewRequest(http.MethodPost, "https://app.test/", body)
	res, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	if rec := r.record(1); rec.Reason != policy.EndpointTimeout {
		t.Errorf("record %+v", rec)
	}
}

func TestTLSUpstream(t *testing.T) {
	names := make(chan string, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}}
	s.StartTLS()
	defer s.Close()
	address := s.Listener.Addr().String()
	for _, protocol := range []policy.Protocol{policy.HTTPS, policy.AutoHTTP} {
		r := newRig(t, tableOf([]string{address}, with(speaks(protocol))))
		res, err := r.client(false).Get("https://app.test/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%s: %s %s", protocol, res.Status, body)
			continue
		}
		if name := <-names; name != "" {
			t.Errorf("a server name was sent: %q", name)
		}
	}
	plain := newRig(t, tableOf([]string{address})) // plain HTTP to a TLS port
	res, _ := plain.get("/")
	if res.StatusCode != 400 { // net/http's own answer; others reset
		t.Error(res.Status)
	}
	wrong := newRig(t, tableOf([]string{app(t, echo)}, with(speaks(policy.HTTPS))))
	res, _ = wrong.get("/")
	status(t, res, 502, policy.EndpointTLS)
}

// TestAppProtocol: the Service's word counts where the route says nothing.
func TestAppProtocol(t *testing.T) {
	table := tableOf([]string{grpcApp(t, false)})
	table.Backends[0].Protocol = policy.GRPC
	r := newRig(t, table)
	res, body := r.get("/")
	if res.StatusCode != 200 || body != "" || res.Header.Get("X-Proto") != "HTTP/2.0" {
		t.Errorf("%s %q %v", res.Status, body, res.Header)
	}
	if s := r.pool.Snapshot(); s[0].Protocol != pool.H2C.String() {
		t.Errorf("%+v", s)
	}
}

// TestStreamIsCancelled: a client that resets its stream cancels the endpoint's.
func TestStreamIsCancelled(t *testing.T) {
	for _, protocol := range []policy.Protocol{policy.HTTP, policy.GRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			arrived, cancelled := make(chan struct{}), make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
				close(cancelled)
			}))
			s.Config.Protocols = &http.Protocols{}
			s.Config.Protocols.SetUnencryptedHTTP2(protocol == policy.GRPC)
			s.Config.Protocols.SetHTTP1(protocol == policy.HTTP)
			s.Start()
			defer s.Close()
			r := newRig(t, tableOf([]string{s.Listener.Addr().String()}, with(speaks(protocol))))
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://app.test/", http.NoBody)
			failed := make(chan error)
			go func() {
				res, err := r.client(true).Do(req)
				if err == nil {
					_ = res.Body.Close()
				}
				failed <- err
			}()
			<-arrived
			cancel()
			<-cancelled
			if err := <-failed; err == nil {
				t.Error("no error")
			}
			if rec := r.record(1); rec.Status != 499 || rec.Reason != policy.ClientClosed {
				t.Errorf("%+v", rec)
			}
			if s := r.pool.Snapshot(); s[0].Failures != 0 || s[0].InFlight != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// leaving is an endpoint that ends: it reads each request and says that it has not begun it.
func leaving(t *testing.T) string {
	t.Helper()
	return raw(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Flags.Has(http2.FlagDataEndStream) && frame.Header().Type == http2.FrameData {
				_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
				stall(c)
			}
		}
	})
}

// TestGoAway: a call that the endpoint has read and refused to begin (RFC 9113 section 6.8) is sent to another one, although it is a
// POST, body and all.
func TestGoAway(t *testing.T) {
	addresses := []string{leaving(t), leaving(t), grpcApp(t, false)}
	r := newRig(t, tableOf(addresses, with(speaks(policy.GRPC))))
	req, err := http.NewRequest(http.MethodPost, "https://"+r.secure+"/", strings.NewReader("a\nb\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "app.test"
	req.Header.Set("Content-Type", "application/grpc")
	res, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || string(body) != "got a\ngot b\n" || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%s %q %v %v", res.Status, body, res.Trailer, err)
	}
	if rec := r.record(1); len(rec.Tries) != 3 {
		t.Errorf("tries %+v", rec.Tries)
	}
}

// dying is an endpoint that answers the first message of a stream and then ends without a word.
func dying(t *testing.T) string {
	t.Helper()
	return raw(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Type != http2.FrameData {
				continue
			}
			writeHead(f, frame.Header().StreamID)
			_ = f.WriteData(frame.Header().StreamID, false, []byte("got it"))
			return
		}
	})
}

// writeHead begins the answer to a call.
func writeHead(f *http2.Framer, stream uint32) {
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = e.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
}

// TestEndpointDiesInStream: the client hears of it at once, although its own side of the stream is open and silent, and in gRPC's words.
func TestEndpointDiesInStream(t *testing.T) {
	r := newRig(t, tableOf([]string{dying(t)}, with(speaks(policy.GRPC))))
	body, feed := io.Pipe()
	defer feed.Close()
	req, _ := http.NewRequest(http.MethodPost, "https://app.test/pkg.Service/Method", body)
	req.Header.Set("Content-Type", "application/grpc")
	go func() { _, _ = io.WriteString(feed, "a\n") }()
	res, err := r.client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || string(got) != "got it" {
		t.Errorf("%q, %v", got, err)
	}
	if res.Trailer.Get("Grpc-Status") != "14" || res.Trailer.Get("Grpc-Message") != string(policy.EndpointReset) {
		t.Errorf("trailer %v", res.Trailer)
	}
	if rec := r.record(1); rec.Reason != policy.EndpointReset {
		t.Errorf("record %+v", rec)
	}
}

// minding is an endpoint that minds the deadline of a call as gRPC's own server does: it resets the stream when the time is over, here
// before or after the head of its answer.
func minding(t *testing.T, head bool) string {
	t.Helper()
	return raw(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			call, ok := frame.(*http2.MetaHeadersFrame)
			if !ok {
				continue
			}
			if head {
				writeHead(f, call.StreamID)
			}
			for _, field := range call.RegularFields() {
				if field.Name == "grpc-timeout" {
					given, _ := time.ParseDuration(field.Value + "s") // "20m" is 20 milliseconds
					time.Sleep(given)
				}
			}
			_ = f.WriteRSTStream(call.StreamID, http2.ErrCodeCancel)
		}
	})
}

// TestDeadlineAtTheEndpoint: a call that the endpoint ends because its time is over ends with DEADLINE_EXCEEDED, and the endpoint is not
// to blame. Without a deadline the same is UNAVAILABLE, and counts.
func TestDeadlineAtTheEndpoint(t *testing.T) {
	for _, c := range []struct {
		timeout, want string
		head          bool
		reason        policy.Reason
		failures      int
	}{
		{"20m", "4", false, policy.EndpointTimeout, 0},
		{"20m", "4", true, policy.EndpointTimeout, 0},
		{"", "14", false, policy.EndpointReset, 1},
		{"", "14", true, policy.EndpointReset, 1},
	} {
		r := newRig(t, tableOf([]string{minding(t, c.head)}, with(speaks(policy.GRPC))))
		req, _ := http.NewRequest(http.MethodPost, "https://app.test/pkg.Service/Method", http.NoBody)
		req.Header.Set("Content-Type", "application/grpc")
		if c.timeout != "" {
			req.Header.Set("Grpc-Timeout", c.timeout)
		}
		res, err := r.client(true).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if got := res.Header.Get("Grpc-Status") + res.Trailer.Get("Grpc-Status"); got != c.want {
			t.Errorf("%+v: status %q", c, got)
		}
		if rec := r.record(1); rec.Reason != c.reason || len(rec.Tries) != 1 {
			t.Errorf("%+v: %+v", c, rec)
		}
		if s := r.pool.Snapshot(); int(s[0].Failures) != c.failures {
			t.Errorf("%+v: %+v", c, s[0])
		}
	}
}

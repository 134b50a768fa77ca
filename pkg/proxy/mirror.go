package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/usher-ingress/usher/pkg/pool"
)

// Mirroring (policy.Mirror): after a request was answered, a copy goes to the target and its answer is dropped. The request itself
// never waits for that. Copies that find no place, and bodies larger than mirrorBody, are dropped and counted.

const (
	mirrorPlaces  = 64       // copies in flight at a time
	mirrorBody    = 1 << 20  // bytes of a body that are kept for its copy
	mirrorMemory  = 64 << 20 // bytes of bodies that are kept for copies at a time
	mirrorTimeout = 30 * time.Second
)

// mirrorOutcome is what became of a copy, as the Observer is told.
type mirrorOutcome = string

// The outcomes.
const (
	mirrorSent    mirrorOutcome = "sent"
	mirrorDropped mirrorOutcome = "dropped"
	mirrorFailed  mirrorOutcome = "failed"
)

// keepCopy has the body kept as it is read, where a copy of the request is to have it and there is room. How large a body of unknown
// length becomes is not known, so it takes the room of the largest.
func (x *exchange) keepCopy() {
	m := &x.Set.Mirror
	if m.Target == nil || !m.Body || x.body.length > mirrorBody {
		return
	}
	room := x.body.length
	if room < 0 {
		room = mirrorBody
	}
	if x.proxy.copied.Add(room) > mirrorMemory {
		x.proxy.copied.Add(-room)
		return
	}
	x.copied, x.body.copied = room, &bytes.Buffer{}
}

// mirror sends off the copy of a request that is over.
func (x *exchange) mirror() {
	m := &x.Set.Mirror
	if m.Target == nil || x.out == nil || x.hijacked {
		return
	}
	var body []byte
	if m.Body && x.body != nil {
		if !x.body.complete.Load() || x.body.copied == nil {
			x.proxy.observer.Mirrored(mirrorDropped)
			return
		}
		body = x.body.copied.Bytes()
	}
	select {
	case x.proxy.mirrors <- struct{}{}:
	default:
		x.proxy.observer.Mirrored(mirrorDropped)
		return
	}
	request := x.copyFor(m.Target, m.Host, body)
	p, target, room := x.proxy, m.Target, x.copied
	x.copied = 0 // it is the copy's now
	go func() {
		defer func() {
			p.copied.Add(-room)
			<-p.mirrors
		}()
		p.observer.Mirrored(p.sendCopy(request, target))
	}()
}

// copyFor makes a request that shares nothing with x.
func (x *exchange) copyFor(target *url.URL, host string, body []byte) *http.Request {
	u := *target
	u.Opaque = target.EscapedPath() + x.Ask.Target
	if u.Path == "/" {
		u.Opaque = x.Ask.Target
	}
	request := &http.Request{Method: x.r.Method, URL: &u, Host: host, Header: x.r.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for _, f := range x.call.Fields {
		request.Header[f.Name] = append(request.Header[f.Name], f.Value)
	}
	request.Header.Del("Connection")
	request.Header.Del("Expect")
	if host == "" {
		request.Host = target.Host
	}
	if body != nil {
		request.ContentLength = int64(len(body))
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	return request
}

func (p *Proxy) sendCopy(request *http.Request, target *url.URL) mirrorOutcome {
	ctx, cancel := context.WithTimeout(context.Background(), mirrorTimeout)
	defer cancel()
	endpoint := p.bindings.pool.Endpoint(mirrorKey(target))
	defer p.bindings.pool.Release(endpoint)
	response, err := endpoint.RoundTrip(request.WithContext(ctx), &pool.Call{})
	if err != nil {
		return mirrorFailed
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, mirrorBody))
	_ = response.Body.Close()
	return mirrorSent
}

func mirrorKey(target *url.URL) pool.Key {
	key, port := pool.Key{}, target.Port()
	if target.Scheme == "https" {
		key.Protocol, key.TLS.ServerName = pool.HTTP1TLS, target.Hostname()
	}
	switch {
	case port != "":
	case target.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	key.Address = net.JoinHostPort(target.Hostname(), port)
	return key
}

package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

func sampleRecord() *Record {
	return &Record{
		Time: time.Date(2026, 11, 22, 10, 20, 30, 123e6, time.UTC), Duration: 1234 * time.Millisecond,
		Request: &http.Request{Header: http.Header{"User-Agent": {`curl "8" ` + "\x01é\xff"}, "Referer": {"http://a/"}, "Authorization": {"Basic Ym9iOnNlY3JldA=="}}},
		Method:  "GET", Proto: "HTTP/1.1", Scheme: "https", Host: "app.test", Target: `/a"b?c`, Client: "1.2.3.4", ID: "abc",
		Route:   &route.Route{Path: "/", Ingress: policy.Ref{Kind: "Ingress", Namespace: "demo", Name: "web"}},
		Backend: &route.Backend{Namespace: "demo", Service: "app", Port: "80"},
		Status:  200, Received: 5, Sent: 42,
		Tries: []Try{{Address: "10.0.0.1:80", Duration: time.Second}, {Address: "10.0.0.2:80", Status: 200, Duration: 234 * time.Millisecond}},
	}
}

func TestNginxLine(t *testing.T) {
	const want = `1.2.3.4 - bob [22/Nov/2026:10:20:30 +0000] "GET /a\x22b?c HTTP/1.1" 200 42 "http://a/" "curl \x228\x22 \x01\xC3\xA9\xFF" 5 1.234 ` +
		`[demo-app-80] [] 10.0.0.1:80, 10.0.0.2:80 0, 42 1.000, 0.234 502, 200 abc` + "\n"
	if got := string(appendNginxRecord(nil, sampleRecord())); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	none := &Record{Time: time.Unix(0, 0).UTC(), Request: &http.Request{}, Method: "GET", Proto: "HTTP/1.1", Target: "/", Client: "1.2.3.4", Status: 404, ID: "x"}
	const bare = `1.2.3.4 - - [01/Jan/1970:00:00:00 +0000] "GET / HTTP/1.1" 404 0 "-" "-" 0 0.000 [] [] - - - - x` + "\n"
	if got := string(appendNginxRecord(nil, none)); got != bare {
		t.Errorf("got\n%swant\n%s", got, bare)
	}
}

func TestJSONLine(t *testing.T) {
	r := sampleRecord()
	r.Reason, r.Error = policy.EndpointReset, "broken\nline"
	line := appendJSONRecord(nil, r)
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	for name, want := range map[string]any{
		"time": "2026-11-22T10:20:30.123Z", "request_id": "abc", "client": "1.2.3.4", "uri": `/a"b?c`, "status": 200.0, "duration": 1.234,
		"bytes_in": 5.0, "bytes_out": 42.0, "ingress": "web", "namespace": "demo", "service": "app", "port": "80",
		"reason": "endpoint-reset", "error": "broken\nline", "user_agent": "curl \"8\" \x01é\ufffd", "host": "app.test",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if tries := got["upstream"].([]any); len(tries) != 2 || tries[1].(map[string]any)["address"] != "10.0.0.2:80" {
		t.Errorf("upstream %v", got["upstream"])
	}
}

func TestLineLogGathers(t *testing.T) {
	var out bytes.Buffer
	l := NewLineLog(&out, Nginx)
	l.Log(sampleRecord())
	if out.Len() != 0 {
		t.Error("written line by line")
	}
	if err := l.Flush(t.Context()); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v %q", err, out.String())
	}
	for range 1000 {
		l.Log(sampleRecord())
	}
	_ = l.Flush(t.Context())
	if n := strings.Count(out.String(), "\n"); n != 1001 {
		t.Errorf("%d lines", n)
	}
}

func TestLoggingAllocatesNothing(t *testing.T) {
	for _, f := range []Format{JSON, Nginx} {
		r := sampleRecord()
		delete(r.Request.Header, "Authorization")
		l := NewLineLog(discard{}, f)
		if n := testing.AllocsPerRun(1000, func() { l.Log(r) }); n > 0 {
			t.Errorf("format %d: %v allocations", f, n)
		}
		_ = l.Flush(t.Context())
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

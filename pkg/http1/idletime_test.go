package http1

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestKeepAliveField: what endpoints say about how long they keep a connection, in the ways they write it.
func TestKeepAliveField(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"timeout=5": 5 * time.Second, "timeout=5, max=100": 5 * time.Second, "max=100,Timeout=75": 75 * time.Second, " max=1 , TIMEOUT=1 ": time.Second,
		"timeout=0": 1, "timeout=2147483647": 2147483647 * time.Second,
		"": 0, ",,": 0, "timeout": 0, "timeout=": 0, "timeout=-1": 0, "timeout=1.5": 0, "timeout=x": 0, "timeout=99999999999": 0, "xtimeout=5": 0, "timeout =5": 0,
	} {
		if got := lastsAfter(value); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func lastsAfter(value string) time.Duration {
	x := &clientExchange{conn: &upstreamConn{}}
	x.keepAlive(value)
	return time.Duration(x.conn.lasts)
}

// FuzzKeepAlive: whatever an endpoint sends, a connection lasts for a time that was written there, or none is known.
func FuzzKeepAlive(f *testing.F) {
	for _, seed := range []string{"timeout=5, max=100", ",, ,timeout=0", "timeout=99999999999999999999", "a=\"b, timeout=1\"", "timeout=\x00", strings.Repeat(",", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := lastsAfter(value)
		if got < 0 || got > 1<<31*time.Second {
			t.Errorf("%q lasts for %v", value, got)
		}
		if got != 0 && !strings.Contains(strings.ToLower(value), "timeout=") {
			t.Errorf("%q lasts for %v, and says nothing of it", value, got)
		}
	})
}

// TestRequestTimeoutOfTheApplication: a 408 to a request that was written is the application's answer, on a kept connection too. It is not taken for
// the end of an idle connection, and the request is not sent again.
func TestRequestTimeoutOfTheApplication(t *testing.T) {
	asked := make(chan string, 9)
	tr := upstream(t, func(up *client) {
		up.request()
		up.say(okResponse)
		r := up.request()
		asked <- r.Method
		up.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy")
	})
	if got := get(t, tr); got != `200 "hi"` {
		t.Fatal(got)
	}
	res, err := tr.RoundTrip(postOf("hello"))
	if err != nil {
		t.Fatalf("%v, want the application's 408", err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := describe(res); res.StatusCode != http.StatusRequestTimeout || !strings.Contains(got, `"busy"`) {
		t.Errorf("%s, want the application's 408", got)
	}
	if s := tr.Stats(); len(asked) != 1 || <-asked != http.MethodPost || s.Dials != 1 || s.Reused != 1 {
		t.Errorf("the request was sent again: %+v", s)
	}
}

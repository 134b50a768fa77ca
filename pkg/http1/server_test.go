package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is served, and how: bytes in, responses out in order, and whether the
// connection then ends.
var served = []struct {
	name, bytes string
	want        []string
	open        bool // the connection stays open afterwards
}{
	{"get", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "GET /a?b=c|x|"`}, true},
	{"odd case", "GET / HTTP/1.1\r\nhOsT: x\r\ncontent-LENGTH: 0\r\n\r\n", []string{`200 "GET /|x|"`}, true},
	{"no space after the colon", "GET / HTTP/1.1\r\nHost:x\r\n\r\n", []string{`200 "GET /|x|"`}, true},
	{"spaces around a value", "GET / HTTP/1.1\r\nHost: \t x \t\r\n\r\n", []string{`200 "GET /|x|"`}, true},
	{"one empty line first", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "GET /|x|"`}, true},
	{"other method", "M-SEARCH / HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "M-SEARCH /|x|"`}, true},
	{"close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []string{`200 close "GET /|x|"`}, false},
	{"close in a list", "GET / HTTP/1.1\r\nHost: x\r\nConnection: a, ClOsE\r\n\r\n", []string{`200 close "GET /|x|"`}, false},
	{"later minor version", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", []string{`200 "GET /|x|"`}, true},
	{"absolute form", "GET http://X/a?b HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "GET http://X/a?b|X|"`}, true},
	{"absolute form, default port", "GET http://x:80/ HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "GET http://x:80/|x:80|"`}, true},
	{"absolute form, no path", "GET HTTPS://x?q HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "GET HTTPS://x?q|x|"`}, true},
	{"options star", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 "OPTIONS *|x|"`}, true},
	{"address as host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", []string{`200 "GET /|[::1]:8080|"`}, true},
	{"what browsers send raw", "GET /a|b?{c}^`\"<>[]\\ HTTP/1.1\r\nHost: x\r\n\r\n", []string{"200 \"GET /a|b?{c}^`\\\"<>[]\\\\|x|\""}, true},
	{"head", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", []string{`HEAD 200 ""`}, true},
	{"length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", []string{`200 "POST /|x|hello"`}, true},
	{"leading zeros", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0005\r\n\r\nhello", []string{`200 "POST /|x|hello"`}, true},
	{"get with body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", []string{`200 "GET /|x|hello"`}, true},
	{"chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cHuNkEd\r\n\r\n5\r\nhello\r\n6;a=b;c=\"d\\\"\"\r\n world\r\n0\r\n\r\n", []string{`200 "POST /|x|hello world"`}, true},
	{"blanks in extensions", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5; a =\t\"b\" ;c= d \r\nhello\r\n0; e\r\n\r\n", []string{`200 "POST /|x|hello"`}, true},
	{"hex and zeros", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n00A\r\n0123456789\r\n000\r\n\r\n", []string{`200 "POST /|x|0123456789"`}, true},
	{"empty chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{`200 "POST /|x|"`}, true},
	{"trailer", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nx-sum: 7\r\nContent-Length: 9\r\nHost: y\r\n\r\n", []string{`200 "POST /|x||trailer X-Sum=7"`}, true},
	{"trailer that says who is asking", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-Port: 1\r\nx-real-ip: 10.0.0.1\r\nX-Original-Uri: /\r\nX-Sum: 7\r\n\r\n", []string{`200 "POST /|x||trailer X-Sum=7"`}, true},
	{"trailer not announced", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 7\r\n\r\n", []string{`200 "POST /|x||trailer X-Sum=7"`}, true},
	{"pipelined", strings.Repeat("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 2),
		[]string{`200 "GET /a|x|"`, `200 "POST /b|x|hi"`, `200 "GET /a|x|"`, `200 "POST /b|x|hi"`}, true},
	{"pipelined, then refused", "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", []string{`200 "GET /a|x|"`, `400 close ""`}, false},
	{"nothing after close", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", []string{`200 close "GET /a|x|"`}, false},
	{"1.0", "GET / HTTP/1.0\r\n\r\n", []string{`200 close "GET /||"`}, false},
	{"1.0 with host", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", []string{`200 close "GET /|x|"`}, false},
	{"1.0 keep-alive", "GET / HTTP/1.0\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n", []string{`200 Connection=keep-alive "GET /|x|"`}, true},
	{"1.0 ignores expect", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", []string{`200 close "POST /||hi"`}, false},
	{"expect", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi", []string{`100 ""`, `200 "POST /|x|hi"`}, true},
	{"expect without body", "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", []string{`200 "GET /|x|"`}, true},
}

func TestServedRequests(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	for _, c := range served {
		t.Run(c.name, func(t *testing.T) {
			conn := connect(t, addr)
			conn.say(c.bytes)
			for _, want := range c.want {
				method := "GET"
				if rest, ok := strings.CutPrefix(want, "HEAD "); ok {
					method, want = "HEAD", rest
				}
				if got := conn.hear(method); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if c.open {
				conn.say("GET /open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if got := conn.hear("GET"); got != `200 close "GET /open|x|"` {
					t.Errorf("the connection was not kept: %s", got)
				}
			}
			if rest := conn.rest(); rest != "" {
				t.Errorf("unexpected %q", rest)
			}
		})
	}
}

// The same bytes must be read the same, however they arrive.
func TestByteByByte(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	for _, c := range served {
		if len(c.bytes) > 200 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, addr)
			for i := range c.bytes {
				if _, err := conn.Write([]byte{c.bytes[i]}); err != nil {
					break // it may close early
				}
			}
			for _, want := range c.want {
				method := "GET"
				if rest, ok := strings.CutPrefix(want, "HEAD "); ok {
					method, want = "HEAD", rest
				}
				if got := conn.hear(method); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

// What handlers do, and the bytes that leave, except for Date.
var responses = []struct {
	name, request string
	handler       http.HandlerFunc
	want          string
}{
	{"nothing", get11, func(http.ResponseWriter, *http.Request) {},
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"short", get11, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hi") },
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	{"flushed", get11, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hi")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "there")
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n5\r\nthere\r\n0\r\n\r\n"},
	{"flushed first", get11, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"flushed to 1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "hi")
	}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi"},
	{"announced", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "hi")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "ho")
		if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
	}, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhiho"},
	{"204", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "body"); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	}, "HTTP/1.1 204 No Content\r\n\r\n"},
	{"304", get11, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"HTTP/1.1 304 Not Modified\r\n\r\n"},
	{"head", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hi")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"},
	{"head announced", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "99")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"},
	{"second status ignored", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(404)
		w.WriteHeader(500)
	}, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"},
	{"unknown status", get11, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) },
		"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"},
	{"header after the head", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"no splitting", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-A"] = []string{"b\r\nSet-Cookie: c"}
		w.Header()["X B"] = []string{"dropped"}
		w.Header()["X-C\r\nX-D"] = []string{"dropped"}
	}, "HTTP/1.1 200 OK\r\nX-A: b  Set-Cookie: c\r\nContent-Length: 0\r\n\r\n"},
	{"framing is the server's", get11, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Transfer-Encoding", "gzip")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Connection", "X-Named")
		h.Set("X-Named", "dropped")
		h.Set("Upgrade", "h2c")
		h["Content-Length"] = []string{"5, 5"}
		_, _ = io.WriteString(w, "hi")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	{"connection close", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"trailers", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, Content-Length")
		_, _ = io.WriteString(w, "hi")
		w.Header().Set("X-Sum", "7")
		w.Header().Set("Content-Length", "8")
		w.Header().Set(http.TrailerPrefix+"X-Late", "9")
	}, "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nX-Late: 9\r\n\r\n"},
	{"informational", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.WriteHeader(102)
		w.WriteHeader(200)
	}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nLink: </a>\r\nContent-Length: 0\r\n\r\n"},
	{"informational to 1.0", "GET / HTTP/1.0\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) },
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"upgrade required", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Upgrade", "TLS/1.3")
		w.WriteHeader(426)
	}, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: TLS/1.3\r\nConnection: Upgrade\r\n\r\n"},
	{"panic", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "b")
		_, _ = io.WriteString(w, "half")
		panic("oops")
	}, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"abort", get11, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}, ""},
	{"abort in the middle", get11, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"},
	{"abort in the middle to 1.0", "GET / HTTP/1.0\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf, then a reset"},
	{"announced too much", get11, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "half")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"},
	{"1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hi")
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"},
	{"body unread, small", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", func(http.ResponseWriter, *http.Request) {},
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"body unread, large", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nabc", func(http.ResponseWriter, *http.Request) {},
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"100 not sent when not read", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(413)
	}, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"max bytes", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			w.WriteHeader(413)
		}
	}, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n"},
}

var dateLine = regexp.MustCompile("Date: [^\r]*\r\n")

const get11 = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestResponses(t *testing.T) {
	for _, c := range responses {
		t.Run(c.name, func(t *testing.T) {
			addr := serve(t, &Server{MaxRequests: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Date"] = nil
				c.handler(w, r)
			})})
			conn := connect(t, addr)
			conn.say(c.request)
			_ = closeWrite(conn.Conn)
			b, err := io.ReadAll(conn.r)
			got := dateLine.ReplaceAllString(string(b), "") // after a panic
			if isReset(err) {
				got += ", then a reset"
			} else if err != nil {
				t.Errorf("the connection did not end: %v", err)
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestDate(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(echo)})
	conn := connect(t, addr)
	conn.say(get11)
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil || time.Since(at) > time.Minute {
		t.Errorf("Date: %v, %v", at, err)
	}
}

// The request as the handler sees it.
func TestRequestFields(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Clone(context.Background()) })}
	addr := serve(t, s)
	conn := connect(t, addr)
	conn.say("PUT /a%2Fb//c?d=%41 HTTP/1.1\r\nhost: x\r\nuser-agent: u\r\nx-custom: 1\r\nX-CUSTOM: 2\r\nx_under: 3\r\n" +
		"Proxy: evil\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: upgrade, HTTP2-Settings\r\nCookie: a\r\nCookie: b\r\nContent-Length: 1\r\n\r\nx")
	r := <-seen
	if r.URL.Path != "/a/b//c" || r.URL.RawPath != "/a%2Fb//c" || r.URL.RawQuery != "d=%41" {
		t.Errorf("URL %#v", r.URL)
	}
	if r.RequestURI != "/a%2Fb//c?d=%41" || r.ContentLength != 1 || r.Host != "x" || r.RemoteAddr != conn.LocalAddr().String() {
		t.Errorf("request %+v", r)
	}
	for name, want := range map[string]string{
		"User-Agent": "u", "X-Custom": "1|2", "X_under": "", "X_Under": "", "Proxy": "", "Upgrade": "", "Http2-Settings": "",
		"Cookie": "a|b", "Content-Length": "1", "Host": "", "Connection": "upgrade, HTTP2-Settings",
	} {
		if got := strings.Join(r.Header[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestKeepUnderscores(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := &Server{KeepUnderscores: func() bool { return true },
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Clone(context.Background()) })}
	conn := connect(t, serve(t, s))
	conn.say("GET / HTTP/1.1\r\nHost: x\r\nX_Y: 1\r\nProxy: p\r\n\r\n")
	r := <-seen
	if r.Header.Get("X_Y") != "1" || r.Header.Get("Proxy") != "" {
		t.Errorf("%v", r.Header)
	}
}

// A kept request object must not show the fields of the one before.
func TestNothingLeaksIntoTheNextRequest(t *testing.T) {
	addr := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-C", "d"+r.Header.Get("X-A"))
		_, _ = io.WriteString(w, r.URL.RawQuery+"|"+r.Header.Get("X-A")+"|"+strconv.Itoa(len(r.Header))+"|"+r.PathValue("p")+"|"+r.Host)
		r.SetPathValue("p", "v")
		r.Header.Set("X-B", "c")
	})})
	conn := connect(t, addr)
	conn.say("GET /?q HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\r\n" + "GET / HTTP/1.1\r\nHost: y\r\n\r\n")
	if got, want := conn.hear("GET"), `200 X-C=db "q|b|1||x"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := conn.hear("GET"), `200 X-C=d "||0||y"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMaxRequests(t *testing.T) {
	conn := connect(t, serve(t, &Server{MaxRequests: 2, Handler: http.HandlerFunc(echo)}))
	conn.say(get11 + get11 + get11)
	if got := conn.hear("GET") + conn.hear("GET"); got != `200 "GET /|x|"200 close "GET /|x|"` {
		t.Error(got)
	}
	if rest := conn.rest(); rest != "" {
		t.Errorf("more: %q", rest)
	}
}

// Hijacking works for requests that do not ask for an upgrade too.
func TestHijackWithoutUpgrade(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() { // goes on after the handler
			defer func() { _ = c.Close() }()
			line, _ := newReader(c).ReadString('\n')
			_, _ = io.WriteString(c, "you said "+line)
		}()
	})}
	conn := connect(t, serve(t, s))
	conn.say(get11)
	eventually(t, "hijacked", func() bool { return s.Stats().Hijacked == 1 })
	conn.say("hello\n")
	if rest := conn.rest(); rest != "you said hello\n" {
		t.Error(rest)
	}
}

func TestHijack(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		early, _ := rw.Peek(rw.Reader.Buffered())
		_, _ = rw.WriteString("early " + string(early) + "\n")
		_ = rw.Flush()
		_, _ = rw.Discard(len(early))
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("then " + line)
		_ = rw.Flush()
		if _, err := io.WriteString(w, "no"); !errors.Is(err, http.ErrHijacked) {
			t.Error("a hijacked response was written to:", err)
		}
	})}
	conn := connect(t, serve(t, s))
	conn.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwith the request")
	if line, _ := conn.r.ReadString('\n'); line != "early with the request\n" {
		t.Error(line)
	}
	conn.say("later\n")
	if rest := conn.rest(); rest != "then later\n" {
		t.Error(rest)
	}
	eventually(t, "the connection is forgotten", func() bool { return s.Stats().Open == 0 && s.Stats().Hijacked == 1 })
}

func TestPanicHandler(t *testing.T) {
	told := make(chan any, 1)
	s := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }),
		PanicHandler: func(_ *http.Request, v any, _ []byte) { told <- v }}
	connect(t, serve(t, s)).say(get11).rest()
	if v := <-told; v != "oops" {
		t.Error(v)
	}
}

func TestStats(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(echo)}
	addr := serve(t, s)
	conn := connect(t, addr)
	conn.say(get11).hear("GET")
	bad := connect(t, addr).say("?\r\n\r\n")
	bad.hear("GET")
	bad.rest()
	_ = bad.Close()
	want := Stats{Accepted: 2, Open: 1, Idle: 1, Requests: 1, Refused: 1}
	eventually(t, "the counters", func() bool { return s.Stats() == want })
	_ = conn.Close()
	eventually(t, "no connection", func() bool { return s.Stats().Open == 0 && s.Stats().Idle == 0 })
}

func TestLocalAddress(t *testing.T) {
	s := &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		}),
	}
	addr := serve(t, s)
	if got := connect(t, addr).say(get11).hear("GET"); got != `200 "`+addr+`"` {
		t.Error(got)
	}
}

package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/pool"
	"github.com/usher-ingress/usher/pkg/proxy"
	"github.com/usher-ingress/usher/pkg/route"
)

func TestPages(t *testing.T) {
	r := newRig(t, tableOf(nil))
	res, body := r.get("/", "Accept: text/html, */*", "X-Request-Id: <b>&1")
	if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Error(got)
	}
	wants(t, body, "503 Service Unavailable", "<code>no-endpoints</code>", "&lt;b&gt;&amp;1")
	res, body = r.get("/", "Accept: application/json", `X-Request-Id: "quoted"`)
	var page struct {
		Status    int
		Reason    string
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || page.Status != 503 || page.Reason != "no-endpoints" || page.RequestID != `"quoted"` {
		t.Errorf("%v: %s %v", err, body, res.Header)
	}
	res, body = r.send("HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	if res.StatusCode != 503 || body != "" || res.ContentLength <= 0 {
		t.Errorf("%s %q %d", res.Status, body, res.ContentLength)
	}
}

func TestReasonsCanBeHidden(t *testing.T) {
	r := newRig(t, nil)
	hidden := proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, HideReason: true})
	w := &memory{header: http.Header{}}
	req, _ := http.NewRequest(http.MethodGet, "http://app.test/", http.NoBody)
	req.RequestURI, req.RemoteAddr = "/", "1.2.3.4:5"
	hidden.ServeHTTP(w, req)
	if w.status != 503 || w.header.Get("X-Usher-Reason") != "" {
		t.Errorf("%d %v", w.status, w.header)
	}
	lacks(t, w.body, "not-ready")
}

// memory is a ResponseWriter that keeps what it is given.
type memory struct {
	header http.Header
	status int
	body   string
}

func (m *memory) Header() http.Header         { return m.header }
func (m *memory) WriteHeader(status int)      { m.status = status }
func (m *memory) Write(p []byte) (int, error) { m.body += string(p); return len(p), nil }

func TestAnswersWithoutBody(t *testing.T) {
	upstream := app(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	})
	r := newRig(t, tableOf([]string{upstream}))
	for _, c := range []struct {
		method, path string
		code         int
		length       int64
		body         string
	}{{"GET", "/204", 204, 0, ""}, {"GET", "/304", 304, 0, ""}, {"HEAD", "/", 200, 5, ""}, {"GET", "/", 200, 5, "hello"}} {
		res, body := r.send(c.method + " " + c.path + " HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if res.StatusCode != c.code || res.ContentLength != c.length || body != c.body {
			t.Errorf("%s %s: %s, length %d, %q", c.method, c.path, res.Status, res.ContentLength, body)
		}
		for _, h2 := range []bool{false, true} {
			req, _ := http.NewRequest(c.method, "https://app.test"+c.path, http.NoBody)
			res, err := r.client(h2).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != c.code || string(body) != c.body {
				t.Errorf("h2=%v %s %s: %s %q %v", h2, c.method, c.path, res.Status, body, err)
			}
		}
	}
}

// panics is an Observer with a bug.
type panics struct{ *recorder }

func (panics) Picked(*route.Backend, *pool.Endpoint) { panic("a bug") }

func TestPanicsAreAnswered(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	var seen any
	buggy := proxy.New(proxy.Options{Tables: r.live, Pool: r.pool, Observer: panics{r.log}, Log: r.log,
		Panicked: func(_ *http.Request, v any, stack []byte) { seen = fmt.Sprint(v, len(stack) > 0) }})
	w := &memory{header: http.Header{}}
	req, _ := http.NewRequest(http.MethodGet, "http://app.test/", http.NoBody)
	req.RequestURI, req.RemoteAddr, req.Header = "/", "1.2.3.4:5", http.Header{}
	buggy.ServeHTTP(w, req)
	if w.status != 500 || w.header.Get("X-Usher-Reason") != string(policy.Internal) || seen != "a bug true" && seen != "a bugtrue" {
		t.Errorf("%d %v %v", w.status, w.header, seen)
	}
	if rec := r.record(1); rec.Reason != policy.Internal || rec.Status != 500 {
		t.Errorf("%+v", rec)
	}
}

// TestOldClients: HTTP/1.0 knows no chunks, and need not send a Host.
func TestOldClients(t *testing.T) {
	table := tableOf([]string{app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host %q ", r.Host)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "rest")
	})})
	anyHost := &route.Host{Paths: table.Hosts.Find("app.test").Paths}
	table.Hosts = route.NewHosts([]*route.Host{anyHost})
	r := newRig(t, table)
	res, body := r.send("GET / HTTP/1.0\r\n\r\n")
	if res.StatusCode != 200 || len(res.TransferEncoding) > 0 {
		t.Errorf("%s %v", res.Status, res.TransferEncoding)
	}
	wants(t, body, `host "127.0.0.1:`, "rest")
}

package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
)

// TestAnswersThatAreRetried: proxy-next-upstream lists statuses. Another endpoint is asked, its answer is what the client gets, and the
// last answer is passed on whatever it is.
func TestAnswersThatAreRetried(t *testing.T) {
	post := "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
	get := "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
	large := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", 200<<10, strings.Repeat("x", 200<<10))
	for _, c := range []struct {
		name, list, request string
		answers             []int // of the endpoints in order
		code                int
		tries               int
		failed              bool // it counts against the first endpoint
	}{
		{"not listed", "error", get, []int{503, 200}, 503, 1, false},
		{"listed", "http_503", get, []int{503, 200}, 200, 2, true},
		{"another one listed", "http_502", get, []int{503, 200}, 503, 1, false},
		{"one after the other", "http_502 http_503", get, []int{503, 502, 200}, 200, 3, true},
		{"the last one", "http_503", get, []int{503, 503}, 503, 3, true},
		{"the only one", "http_503", get, []int{503}, 503, 3, true},
		{"as many as there may be", "http_500", get, []int{500, 500, 500, 200}, 500, 3, true},
		{"not found is the application's word", "http_404", get, []int{404, 200}, 200, 2, false},
		{"too many requests", "http_429", get, []int{429, 200}, 200, 2, true},
		{"not twice", "http_503", post, []int{503, 200}, 503, 1, false},
		{"twice on request", "http_503 non_idempotent", post, []int{503, 200}, 200, 2, true},
		{"a body that is not kept", "http_503", large, []int{503, 200}, 503, 1, false},
		{"off", "http_503 off", get, []int{503, 200}, 503, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var addresses []string
			for _, code := range c.answers {
				addresses = append(addresses, app(t, func(w http.ResponseWriter, r *http.Request) {
					n, _ := io.Copy(io.Discard, r.Body)
					w.WriteHeader(code)
					fmt.Fprint(w, code, " after ", n)
				}))
			}
			set, _ := policy.Parse(policy.Default(), policy.Input{Prefixes: []string{"u/"}, Values: map[string]string{"u/proxy-next-upstream": c.list}})
			r := newRig(t, tableOf(addresses, with(func(s *policy.Set) { s.Retry, s.Body.MaxSize = set.Retry, 0 })))
			res, body := r.send(c.request)
			status(t, res, c.code, "")
			_, sent, _ := strings.Cut(c.request, "\r\n\r\n")
			if want := fmt.Sprint(c.code, " after ", len(sent)); body != want {
				t.Errorf("%q, want %q", body, want)
			}
			rec := r.record(1)
			var codes []int
			for _, try := range rec.Tries {
				codes = append(codes, try.Status)
			}
			var want []int
			for i := range c.tries {
				want = append(want, c.answers[i%len(c.answers)])
			}
			if !slices.Equal(codes, want) || len(r.retries()) != c.tries-1 || c.tries > 1 && r.retries()[0] != policy.EndpointStatus {
				t.Errorf("tries %v, retried after %v", rec.Tries, r.retries())
			}
			eventually(t, func() bool {
				for _, s := range r.pool.Snapshot() {
					if s.InFlight != 0 || s.Address == addresses[0] && (s.Failed > 0) != c.failed {
						return false
					}
				}
				return true
			})
		})
	}
}

// TestSameEndpointAgain: one replica that gets better is asked until it does, as often as there are tries; what may not be repeated, once.
func TestSameEndpointAgain(t *testing.T) {
	for _, c := range []struct {
		name, list, method string
		tries              int
		fail               func(net.Conn) bool // answers 503, or does not answer, and reports whether the connection goes on
		code, asked        int
	}{
		{"answered", "http_503", "GET", 3, unavailable, 200, 3},
		{"answered, with too few tries", "http_503", "GET", 2, unavailable, 503, 2},
		{"answered, not to be repeated", "http_503", "POST", 3, unavailable, 503, 1},
		{"answered, repeated on request", "http_503 non_idempotent", "POST", 3, unavailable, 200, 3},
		{"reset", "error", "GET", 3, dropped, 200, 3},
		{"reset, not to be repeated", "error", "POST", 3, dropped, 502, 1},
		{"reset, nothing listed", "http_404", "GET", 3, dropped, 502, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			only := raw(t, func(conn net.Conn) {
				from := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(from)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if asked.Add(1) > 2 {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					} else if !c.fail(conn) {
						return
					}
				}
			})
			set, _ := policy.Parse(policy.Default(), policy.Input{Prefixes: []string{"u/"}, Values: map[string]string{
				"u/proxy-next-upstream": c.list, "u/proxy-next-upstream-tries": fmt.Sprint(c.tries)}})
			r := newRig(t, tableOf([]string{only}, with(func(s *policy.Set) { s.Retry = set.Retry })))
			res, _ := r.send(requestOf(c.method))
			if res.StatusCode != c.code || asked.Load() != int64(c.asked) {
				t.Errorf("%s after %d, want %d after %d", res.Status, asked.Load(), c.code, c.asked)
			}
		})
	}
}

func unavailable(conn net.Conn) bool {
	_, err := io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
	return err == nil
}

func dropped(conn net.Conn) bool {
	reset(conn)
	return false
}

// TestMalformedAnswersAreRetried where invalid_header is listed.
func TestMalformedAnswersAreRetried(t *testing.T) {
	broken := raw(t, answering("HTTP/1.1 OK 200\r\n\r\n", stall))
	r := newRig(t, tableOf([]string{broken, app(t, echo)}, with(func(s *policy.Set) { s.Retry.InvalidHeader = true })))
	res, _ := r.get("/")
	status(t, res, 200, "")
	if got := r.retries(); !slices.Equal(got, []policy.Reason{policy.BadResponse}) {
		t.Errorf("retried after %v", got)
	}
}

// TestAnswersAreRetriedWithinTheBudget, so that a Service which answers 503 to everything gets no twice its requests.
func TestAnswersAreRetriedWithinTheBudget(t *testing.T) {
	fails := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	set, _ := policy.Parse(policy.Default(), policy.Input{Prefixes: []string{"u/"}, Values: map[string]string{"u/proxy-next-upstream": "http_503"}})
	r := newRig(t, tableOf([]string{app(t, fails), app(t, fails), app(t, fails)}, with(func(s *policy.Set) { s.Retry, s.Health.MaxFails = set.Retry, 0 })))
	const requests = 200
	for range requests {
		res, _ := r.get("/")
		status(t, res, 503, "")
	}
	if n := len(r.retries()); n < 100 || n > 100+requests/5 {
		t.Errorf("%d of %d requests were sent again; want the budget of 100, and a fifth more", n, requests)
	}
}

// TestTimeForTriesBegins with the first one: what a request waited for before does not count.
func TestTimeForTriesBegins(t *testing.T) {
	r := newRig(t, tableOf([]string{nowhere(t), app(t, echo)}, with(func(s *policy.Set) {
		s.Retry.Within, s.Overload.WaitForEndpoints = 10*time.Second, 20*time.Second
	})))
	res, _ := r.get("/")
	status(t, res, 200, "")
	none := newRig(t, tableOf([]string{nowhere(t), app(t, echo)}, with(func(s *policy.Set) { s.Retry.Within = time.Nanosecond })))
	res, _ = none.get("/")
	status(t, res, 502, policy.EndpointRefused)
}

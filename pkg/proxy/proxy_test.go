package proxy_test

import (
	"net/http"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

func TestProxiesToTheEndpoint(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	res, body := r.get("/a/b?c=d&e")
	if res.StatusCode != 200 {
		t.Fatal(res.Status, body)
	}
	wants(t, body, "GET /a/b?c=d&e HTTP/1.1\n", "Host: app.test\n", "X-Real-Ip: 127.0.0.1\r\n", "X-Forwarded-For: 127.0.0.1\r\n",
		"X-Forwarded-Host: app.test\r\n", "X-Forwarded-Port: 80\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Scheme: http\r\n",
		"X-Scheme: http\r\n", "X-Request-Id: ")
	lacks(t, body, "X-Original", "Connection: close")
	record := r.record(1)
	if record.Status != 200 || record.Route == nil || record.Backend == nil || len(record.Tries) != 1 || record.Sent != int64(len(body)) {
		t.Errorf("record %+v", record)
	}
}

func TestNothingAnswers(t *testing.T) {
	broken := func(reason policy.Reason) func(*route.Table, *route.Route) {
		return func(_ *route.Table, r *route.Route) { r.Broken = reason }
	}
	empty := func(reason policy.Reason) func(*route.Table, *route.Route) {
		return func(t *route.Table, _ *route.Route) {
			t.Backends[0] = &route.Backend{Name: "demo/app:80", Reason: reason}
		}
	}
	get := func(host, target string) string { return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	for _, c := range []struct {
		name    string
		table   *route.Table
		request string
		code    int
		reason  policy.Reason
	}{
		{"no table yet", nil, get("app.test", "/"), 503, policy.NotReady},
		{"unknown host", tableOf(nil), get("other.test", "/"), 404, policy.NoHost},
		{"health check of a load balancer", tableOf(nil), get("10.1.2.3:8080", "/healthz"), 200, ""},
		{"health check path of a known host", tableOf(nil, empty(policy.NoReadyEndpoints)), get("app.test", "/healthz"), 503, policy.NoReadyEndpoints},
		{"unknown path", tableOf(nil, func(_ *route.Table, r *route.Route) { r.Path = "/shop" }), get("app.test", "/shopping"), 404, policy.NoPath},
		{"broken route", tableOf(nil, broken(policy.NoPort)), get("app.test", "/"), 503, policy.NoPort},
		{"no endpoints", tableOf(nil), get("app.test", "/"), 503, policy.NoEndpoints},
		{"above the root", tableOf(nil), get("app.test", "/../etc"), 400, policy.BadRequest},
		{"NUL", tableOf(nil), get("app.test", "/a%00b"), 400, policy.BadRequest},
		{"nobody listens", tableOf([]string{nowhere(t)}), get("app.test", "/"), 502, policy.EndpointRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.table)
			res, _ := r.send(c.request)
			status(t, res, c.code, c.reason)
			if got := r.record(1); got.Status != c.code || got.Reason != c.reason {
				t.Errorf("record has %d %q", got.Status, got.Reason)
			}
		})
	}
}

func TestHostIsNormalised(t *testing.T) {
	r := newRig(t, tableOf([]string{app(t, echo)}))
	for _, host := range []string{"APP.Test", "app.test:8080", "app.test.", "App.test.:80"} {
		res, body := r.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", host, res.Status)
		}
		wants(t, body, "Host: "+host+"\n", "X-Forwarded-Host: "+host+"\r\n")
	}
}

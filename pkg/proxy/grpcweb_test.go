package proxy_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/policy"
)

func webRig(t *testing.T, address string) *rig {
	return newRig(t, tableOf([]string{address}, with(func(s *policy.Set) {
		speaks(policy.GRPC)(s)
		s.Upstream.GRPCWeb = true
	})))
}

// callWeb makes a gRPC-Web call over HTTP/1.1 or HTTP/2.
func (r *rig) callWeb(two bool, kind, body string) *http.Response {
	r.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, "https://app.test/pkg.Service/Method", strings.NewReader(body))
	req.Header.Set("Content-Type", kind)
	res, err := r.client(two).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// decodeText decodes base64 that is padded wherever a piece ended.
func decodeText(t *testing.T, text string) string {
	t.Helper()
	out := ""
	for i := 0; i+4 <= len(text); i += 4 {
		b, err := base64.StdEncoding.DecodeString(text[i : i+4])
		if err != nil {
			t.Fatal(err)
		}
		out += string(b)
	}
	if len(text)%4 != 0 {
		t.Errorf("%q is not base64", text)
	}
	return out
}

const webTrailer = "\x80\x00\x00\x00\x10grpc-status: 0\r\n"

func TestGRPCWeb(t *testing.T) {
	r := webRig(t, grpcApp(t, false))
	text := base64.StdEncoding.EncodeToString([]byte("one\n")) + base64.StdEncoding.EncodeToString([]byte("two\n")) // each padded
	for _, c := range []struct{ kind, body, answer string }{
		{"application/grpc-web+proto", "one\ntwo\n", "application/grpc-web"},
		{"application/grpc-web-text", text, "application/grpc-web-text"},
	} {
		for _, two := range []bool{false, true} {
			res := r.callWeb(two, c.kind, c.body)
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := string(body)
			if strings.HasSuffix(c.answer, "-text") {
				got = decodeText(t, got)
			}
			if got != "got one\ngot two\n"+webTrailer || res.Header.Get("Content-Type") != c.answer || len(res.Trailer) != 0 || res.Header.Get("X-Te") != "trailers" {
				t.Errorf("%s, HTTP/2 %v: got %q, %v, trailer %v", c.kind, two, got, res.Header, res.Trailer)
			}
		}
	}
}

// A call of gRPC itself, and one on a path without the option, are left alone.
func TestGRPCWebIsAnOption(t *testing.T) {
	app := grpcApp(t, false)
	if res := webRig(t, app).callWeb(true, "application/grpc", "one\n"); res.Header.Get("Content-Type") != "application/grpc" {
		t.Errorf("gRPC: %v", res.Header)
	}
	r := newRig(t, tableOf([]string{app}, with(speaks(policy.GRPC))))
	if res := r.callWeb(true, "application/grpc-web", "one\n"); res.Header.Get("Content-Type") != "application/grpc" {
		t.Errorf("without the option: %v", res.Header)
	}
}

// What is no base64 is the client's fault.
func TestGRPCWebBadText(t *testing.T) {
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }))
	app.Config.Protocols = &http.Protocols{}
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	defer app.Close()
	r := webRig(t, app.Listener.Addr().String())
	for _, body := range []string{"b25l!Cg=", "b25lC", "b2=lCg=="} {
		status(t, r.callWeb(false, "application/grpc-web-text", body), http.StatusBadRequest, policy.BadRequest)
	}
}

// Errors of Usher say so in gRPC's words too, in the head.
func TestGRPCWebFailure(t *testing.T) {
	res := webRig(t, nowhere(t)).callWeb(false, "application/grpc-web-text", "b25lCg==")
	status(t, res, http.StatusBadGateway, policy.EndpointRefused)
	if res.Header.Get("Grpc-Status") != "14" {
		t.Errorf("%v", res.Header)
	}
}

package http2

import (
	"net/http"
	"strings"
	"testing"
)

// TestFieldLimit: :authority counts as the Host field that it stands for, and cookies in fields of their own as one field.
func TestFieldLimit(t *testing.T) {
	address := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := strings.Count(strings.Join(r.Header["Cookie"], ""), "a=b"); len(r.Header["Cookie"]) > 1 || r.Header.Get("X-Cookies") != "" && n != 300 {
			t.Errorf("%d cookies in %d fields", n, len(r.Header["Cookie"]))
		}
	})})
	several := func(n int, field ...string) (all []string) {
		for range n {
			all = append(all, field...)
		}
		return all
	}
	crumbs := append(several(300, "cookie", "a=b"), "x-cookies", "300")
	p := dial(t, address)
	for i, c := range []struct {
		fields []string
		want   string
	}{
		{several(127, "a", "b"), "200"},
		{several(128, "a", "b"), "431"},
		{crumbs, "200"},
		{append(several(125, "a", "b"), crumbs...), "200"},
		{append(several(126, "a", "b"), crumbs...), "431"},
	} {
		id := uint32(2*i + 1)
		p.head(id, true, sound(c.fields...)...)
		if got := p.outcome(id); got != c.want {
			t.Errorf("case %d: got %s, want %s", i, got, c.want)
		}
	}
}

package route_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/usher-ingress/usher/pkg/route"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"/a/", "/a/"},
		{"//", "/"},
		{"//a///b//", "/a/b/"},
		{"/.", "/"},
		{"/./", "/"},
		{"/a/.", "/a/"},
		{"/a/./b", "/a/b"},
		{"/a/..", "/"},
		{"/a/../", "/"},
		{"/a/b/../c", "/a/c"},
		{"/a/b/../..", "/"},
		{"/.well-known/x", "/.well-known/x"},
		{"/...", "/..."},
		{"/..a/.b", "/..a/.b"},
		{"/a..", "/a.."},
		{"/%61", "/a"},
		{"/%2e%2E/", ""},
		{"/a/%2e%2e/b", "/b"},
		{"/a%2fb", "/a/b"},
		{"/%2Fadmin", "/admin"},
		{"/x/..%2Fadmin", "/admin"},
		{"/admin%2Fusers", "/admin/users"},
		{"/x%2F..%2f%2e/admin", "/admin"},
		{"/a%2Fb/../c", "/a/c"},
		{"/..%2Fa", ""},
		{"/a/..%2f..%2fb", ""},
		{"/%2F", "/"},
		{"/%25", "/%"},
		{"/%252e%252e", "/%2e%2e"},
		{"/%252Fadmin", "/%2Fadmin"},
		{"/%2525", "/%25"},
		{"/%5cadmin", `/\admin`},
		{"/x;/admin", "/x;/admin"},
		{"/%3F%23", "/?#"},
		{"/%C3%BC", "/ü"},
		{"/a b", "/a b"},
		{"", ""},
		{"a", ""},
		{"*", ""},
		{"/..", ""},
		{"/a/../..", ""},
		{"/../a", ""},
		{"/%", ""},
		{"/%2", ""},
		{"/%2x", ""},
		{"/%00", ""},
	} {
		got, err := route.Normalize(c.path)
		if got != c.want || (c.want == "") != (err != nil) || err != nil && !errors.Is(err, route.ErrBadPath) {
			t.Errorf("Normalize(%q) = %q, %v, want %q", c.path, got, err, c.want)
		}
	}
}

func TestNormalizeAllocatesNothingForNormalPaths(t *testing.T) {
	for _, path := range []string{"/", "/cart/item/1", "/.well-known/acme-challenge/x", "/a.b/c..d/"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = route.Normalize(path) }); n != 0 {
			t.Errorf("Normalize(%q) allocates %v times", path, n)
		}
	}
}

// FuzzNormalize: what is normal stays as it is, and holds nothing that two readers could understand differently.
func FuzzNormalize(f *testing.F) {
	for _, path := range []string{"/", "/a/../b", "//a", "/%2e%2e/x", "/%252F", "/a%2Fb", "/.well-known/", "/..%2f..", "/%2"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		once, err := route.Normalize(path)
		if err != nil {
			return
		}
		twice, err := route.Normalize(strings.ReplaceAll(once, "%", "%25"))
		if err != nil || twice != once {
			t.Fatalf("Normalize(%q) = %q, and of that %q, %v", path, once, twice, err)
		}
		if once[0] != '/' || strings.Contains(once, "//") || strings.Contains(once, "\x00") && !strings.Contains(path, "\x00") {
			t.Fatalf("Normalize(%q) = %q", path, once)
		}
		for _, element := range strings.Split(once, "/") {
			if element == "." || element == ".." {
				t.Fatalf("Normalize(%q) = %q has dot segments", path, once)
			}
		}
	})
}

// FuzzNormalizeSlowly compares with resolving the path element by element, as RFC 3986 section 5.2.4 describes it.
func FuzzNormalizeSlowly(f *testing.F) {
	f.Add("/a/b/../../c/./d//e/")
	f.Add("/%2e/%2E%2e")
	f.Fuzz(func(t *testing.T, path string) {
		got, err := route.Normalize(path)
		want, ok := slowNormalize(path)
		if ok != (err == nil) || got != want {
			t.Fatalf("Normalize(%q) = %q, %v, want %q, %v", path, got, err, want, ok)
		}
	})
}

func slowNormalize(path string) (string, bool) {
	if !strings.HasPrefix(path, "/") {
		return "", false
	}
	decoded, ok := slowDecode(path)
	if !ok {
		return "", false
	}
	elements := strings.Split(decoded, "/")[1:]
	var kept []string
	slash := false
	for i, element := range elements {
		slash = element == "" || element == "." || element == ".."
		if !slash {
			kept = append(kept, element)
		}
		if element == ".." {
			if len(kept) == 0 {
				return "", false
			}
			kept = kept[:len(kept)-1]
		}
		slash = slash && i == len(elements)-1
	}
	out := "/" + strings.Join(kept, "/")
	if slash && out != "/" {
		out += "/"
	}
	return out, true
}

// slowDecode is net/url's decoding, with nginx's refusal of NUL.
func slowDecode(path string) (string, bool) {
	text, err := url.PathUnescape(path)
	return text, err == nil && strings.Count(text, "\x00") == strings.Count(path, "\x00")
}

func BenchmarkNormalize(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = route.Normalize("/shop/cart/items/12345/details")
	}
}

func BenchmarkNormalizeEncoded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = route.Normalize("/shop/cart%2Fitems/%31%32345/./details")
	}
}

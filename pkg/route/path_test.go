package route_test

import (
	"errors"
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
		{"/a%2fb", "/a%2Fb"},
		{"/a%2Fb/../c", "/c"},
		{"/%25", "/%25"},
		{"/%252e%252e", "/%252e%252e"},
		{"/%2525", "/%2525"},
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
		twice, err := route.Normalize(once)
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

func slowDecode(path string) (string, bool) {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for path != "" {
		if path[0] != '%' {
			b.WriteByte(path[0])
			path = path[1:]
			continue
		}
		if len(path) < 3 {
			return "", false
		}
		high, low := strings.IndexByte(digits, path[1]|0x20), strings.IndexByte(digits, path[2]|0x20)
		if high < 0 || low < 0 || path[1] < '0' || path[2] < '0' {
			return "", false
		}
		switch c := byte(high<<4 | low); c {
		case 0:
			return "", false
		case '/', '%':
			b.WriteString("%" + strings.ToUpper(path[1:3]))
		default:
			b.WriteByte(c)
		}
		path = path[3:]
	}
	return b.String(), true
}

func BenchmarkNormalize(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = route.Normalize("/shop/cart/items/12345/details")
	}
}

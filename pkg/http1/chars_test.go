package http1

import (
	"strings"
	"testing"
)

// TestValueEnd compares the word-wise search with a look at every byte, for each byte at each place.
func TestValueEnd(t *testing.T) {
	slow := func(s string) int {
		for i := 0; i < len(s); i++ {
			if class[s[i]]&valueChar == 0 {
				return i
			}
		}
		return len(s)
	}
	for length := range 35 {
		for at := range length {
			for c := range 256 {
				for _, fill := range []string{"a", "\t", "\x80", " ", "\xff"} {
					b := []byte(strings.Repeat(fill, length))
					b[at] = byte(c)
					if got, want := valueEnd(string(b)), slow(string(b)); got != want {
						t.Fatalf("valueEnd(%q) = %d, want %d", b, got, want)
					}
					b[length-1-at] = 0x1f
					if got, want := valueEnd(string(b)), slow(string(b)); got != want {
						t.Fatalf("valueEnd(%q) = %d, want %d", b, got, want)
					}
				}
			}
		}
	}
}

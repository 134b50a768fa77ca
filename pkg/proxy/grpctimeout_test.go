package proxy

import (
	"testing"
	"time"
)

func TestGRPCTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "30S": 30 * time.Second, "250m": 250 * time.Millisecond, "7u": 7 * time.Microsecond,
		"99999999n": 99999999, "0S": 0, "99999999H": 2562047 * time.Hour,
	} {
		if got, ok := grpcTimeout(value); !ok || got != want {
			t.Errorf("%q: %v %t, want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "1", "S", "-1S", "+1S", "1.5S", "1s", "1h", "123456789S", " 1S", "1S "} {
		if got, ok := grpcTimeout(value); ok {
			t.Errorf("%q is read as %v", value, got)
		}
	}
}

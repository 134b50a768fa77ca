package policy

import "testing"

func TestHTTP2Keys(t *testing.T) {
	set, problems := ParseConfigMap(Default(), Input{Values: map[string]string{"use-http2": "false", "http2-max-concurrent-streams": "64"}})
	if !set.TLS.OnlyHTTP1 || set.HTTP2.Streams != 64 || len(problems) != 0 {
		t.Errorf("got %+v, %+v, %v", set.TLS, set.HTTP2, problems)
	}
	set, problems = ParseConfigMap(Default(), Input{Values: map[string]string{"use-http2": "no", "http2-max-concurrent-streams": "0"}})
	if set.TLS.OnlyHTTP1 || set.HTTP2.Streams != 0 || len(problems) != 2 {
		t.Errorf("bad values: got %+v, %+v, %v", set.TLS, set.HTTP2, problems)
	}
}

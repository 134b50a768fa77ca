package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestMetricsFlags(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--time-buckets=0.005,0.01,10 --length-buckets=10,20,1e+07 --metrics-max-series=1", ""},
		{"--time-buckets=1,0.5", "--time-buckets 0.5: want numbers above 0 and up to 1e+06, each greater than the one before"},
		{"--time-buckets=1,1", "--time-buckets 1: want"},
		{"--time-buckets=0", "--time-buckets 0: want"},
		{"--time-buckets=NaN", "--time-buckets NaN: want"},
		{"--time-buckets=+Inf", "--time-buckets +Inf: want"},
		{"--length-buckets=-1", "--length-buckets -1: want"},
		{"--length-buckets=1e16", "--length-buckets 1e+16: want"},
		{"--length-buckets=" + strings.Repeat("1,", 30) + "1", "--length-buckets has 31 buckets: want at most 30"},
		{"--metrics-max-series=0", "--metrics-max-series 0: want at least 1"},
	} {
		set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		set.SetOutput(io.Discard)
		var f metricsFlags
		f.register(set)
		if err := set.Parse(strings.Fields(c.args)); err != nil {
			t.Fatalf("%s: %v", c.args, err)
		}
		err := f.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
	}
}

package main

import (
	"math"

	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/metrics"
)

// mostBuckets of a histogram: each is a series, for each Service and class of status.
const mostBuckets = 30

// metricsFlags say how much detail request metrics have.
type metricsFlags struct {
	byHost        bool
	timeBuckets   []float64
	lengthBuckets []float64
	maxSeries     int
}

func (f *metricsFlags) register(set *pflag.FlagSet) {
	set.BoolVar(&f.byHost, "metrics-per-host", true, "give request metrics the label host")
	set.Float64SliceVar(&f.timeBuckets, "time-buckets", nil, "upper ends in `seconds` of the buckets of usher_request_duration_seconds and "+
		"usher_upstream_duration_seconds, such as 0.005,0.05,0.5,5; without it the first has 0.005,0.025,0.1,0.5,2.5,10 and the second only sum and count")
	set.Float64SliceVar(&f.lengthBuckets, "length-buckets", nil, "upper ends in `bytes` of the buckets of usher_request_size_bytes and "+
		"usher_response_size_bytes, such as 1000,1000000; without it they have only sum and count")
	set.IntVar(&f.maxSeries, "metrics-max-series", metrics.DefaultMaxSeries, "how many series Ingresses and Services may have in all; what is beyond is counted "+
		"with \"other\" as ingress, service and host")
}

func (f *metricsFlags) check() error {
	if err := checkBuckets("time-buckets", f.timeBuckets, 1e6); err != nil {
		return err
	}
	if err := checkBuckets("length-buckets", f.lengthBuckets, 1e15); err != nil {
		return err
	}
	if f.maxSeries < 1 {
		return usagef("--metrics-max-series %d: want at least 1", f.maxSeries)
	}
	return nil
}

func checkBuckets(flag string, buckets []float64, most float64) error {
	if len(buckets) > mostBuckets {
		return usagef("--%s has %d buckets: want at most %d", flag, len(buckets), mostBuckets)
	}
	last := 0.0
	for _, end := range buckets {
		if math.IsNaN(end) || end <= last || end > most {
			return usagef("--%s %v: want numbers above 0 and up to %v, each greater than the one before", flag, end, most)
		}
		last = end
	}
	return nil
}

func (f *metricsFlags) options() metrics.Options {
	return metrics.Options{TimeBuckets: f.timeBuckets, LengthBuckets: f.lengthBuckets, MaxSeries: f.maxSeries}
}

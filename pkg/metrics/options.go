package metrics

// Options say how much detail request metrics have. The zero value is the default set.
type Options struct {
	TimeBuckets   []float64 // upper ends in seconds, of both histograms of durations; nil is those of DefaultTimeBuckets for one of them
	LengthBuckets []float64 // upper ends in bytes, of both histograms of sizes; nil is none
	MaxSeries     int       // of Ingresses and Services in all; what is beyond is counted as "other". 0 is DefaultMaxSeries
}

// DefaultMaxSeries are about 6,000 Ingresses that each answer one way.
const DefaultMaxSeries = 100_000

// DefaultTimeBuckets are a part of ingress-nginx's.
func DefaultTimeBuckets() []float64 { return []float64{.005, .025, .1, .5, 2.5, 10} }

func (o Options) maxSeries() int64 {
	if o.MaxSeries == 0 {
		return DefaultMaxSeries
	}
	return int64(o.MaxSeries)
}

func (o Options) durationBuckets() []float64 {
	if o.TimeBuckets == nil {
		return DefaultTimeBuckets()
	}
	return o.TimeBuckets
}

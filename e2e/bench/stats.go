package main

import (
	"cmp"
	"slices"
	"time"
)

// spread is the middle and the ends of some measurements.
type spread struct{ Median, Low, High float64 }

// spreadOf sorts a copy. The zero spread stands for no measurements.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1]}
}

// quantile of sorted values, by nearest rank: a value that was measured, never one between two.
func quantile[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	rank := int(q*float64(len(sorted)) + 0.9999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// ratios divides round by round: what disturbed a round disturbed both.
func ratios(values, base []float64) []float64 {
	var out []float64
	for i := range min(len(values), len(base)) {
		if base[i] != 0 {
			out = append(out, values[i]/base[i])
		}
	}
	return out
}

// each takes one number from each sample.
func each(samples []sample, number func(sample) float64) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, number(s))
	}
	return out
}

// p99OfAll is that of the requests of all samples together.
func p99OfAll(samples []sample) time.Duration {
	var all []time.Duration
	for _, s := range samples {
		all = append(all, s.Delays...)
	}
	slices.Sort(all)
	return quantile(all, 0.99)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cost is a sample's figure in a scenario: what ratios compare.
func (s sample) cost(f figure) float64 {
	switch f {
	case bulk:
		return micros(s.used.User+s.used.System) / 1000 / s.Done
	case latency:
		return micros(s.P99)
	case memory:
		return float64(s.memory) / 1024 / s.Done
	default:
		return micros(s.used.User+s.used.System) / s.Done
	}
}

// user and system are the parts of the CPU time per unit, in the unit of the scenario's figure.
func (s sample) user(f figure) float64   { return s.part(f, s.used.User) }
func (s sample) system(f figure) float64 { return s.part(f, s.used.System) }

func (s sample) part(f figure, d time.Duration) float64 {
	if f == bulk {
		return micros(d) / 1000 / s.Done
	}
	return micros(d) / s.Done
}

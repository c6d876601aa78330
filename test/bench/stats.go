package main

import (
	"fmt"
	"math"
	"slices"
)

// samples holds every measurement by what was measured, in the order of the rounds.
type samples map[string][]float64

func (s samples) add(key string, value float64) { s[key] = append(s[key], value) }

// quantile is the value below which a share of the values lies, between neighbours in proportion.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := share * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// ratio is the median of the ratios of measurements that were taken next to each other, and the middle half of them.
type ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func ratioOf(a, b []float64) ratio {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return ratio{median(all), quantile(all, 0.25), quantile(all, 0.75)}
}

func (r ratio) String() string { return fmt.Sprintf("%.2f", r.Median) }

// spread is where the middle half of the ratios lies.
func (r ratio) spread() string { return fmt.Sprintf("%.2f to %.2f", r.Low, r.High) }

// interval is where the true median lies, with 95 % confidence.
type interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// medianOf gives the interval by the order of the values alone: their ranks n/2 ± 1.96·√n/2.
func medianOf(values []float64) interval {
	share := min(0.5, 0.98/math.Sqrt(float64(len(values))))
	return interval{quantile(values, 0.5-share), quantile(values, 0.5+share)}
}

func (i interval) String() string { return digits(i.Low) + " to " + digits(i.High) }

// digits writes a value with three significant digits, which is more than any of them is good for.
func digits(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return fmt.Sprintf("%.*f", decimals, v)
}

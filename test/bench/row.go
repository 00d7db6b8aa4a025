package main

import (
	"time"

	"github.com/tocsin/tocsin/test/bench/rig"
)

// A row is one measurement.
type row struct {
	Part      string  `json:"part"`
	Name      string  `json:"name"`
	PerSecond float64 `json:"per_second,omitzero"`
	Unit      string  `json:"unit,omitzero"`

	P50 float64 `json:"p50_ms,omitzero"`
	P99 float64 `json:"p99_ms,omitzero"`
	Max float64 `json:"max_ms,omitzero"`

	CPU  float64 `json:"cpu_s_per_1000,omitzero"`        // of the hub, for 1,000 findings
	RSS  float64 `json:"rss_peak_mib,omitzero"`          // of the hub, since it started
	In   float64 `json:"disk_read_kib_each,omitzero"`    // by the hub, for a finding
	Out  float64 `json:"disk_written_kib_each,omitzero"` // by the hub, for a finding
	Lag  int     `json:"most_under_way,omitzero"`
	Note string  `json:"note,omitzero"`

	// Limit is the least of the physical limits, Of names it, and Share is how
	// much of it was reached.
	Limit float64 `json:"limit_per_second,omitzero"`
	Of    string  `json:"limited_by,omitzero"`
	Share float64 `json:"share_of_limit,omitzero"`
}

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	progress("%s: %s", r.Part, r.sentence())
}

func (r *row) times(all []time.Duration) {
	r.P50, r.P99, r.Max = ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *row) usage(before, after rig.Usage, findings int) {
	if findings > 0 {
		n := float64(findings)
		r.CPU = (after.CPU - before.CPU).Seconds() * 1000 / n
		r.In, r.Out = float64(after.Read-before.Read)/1024/n, float64(after.Written-before.Written)/1024/n
	}
	r.RSS = float64(after.PeakRSS) / (1 << 20)
}

// limit notes a physical limit; the least one counts.
func (r *row) limit(perSecond float64, of string) {
	if perSecond > 0 && (r.Limit == 0 || perSecond < r.Limit) {
		r.Limit, r.Of, r.Share = perSecond, of, r.PerSecond/perSecond
	}
}

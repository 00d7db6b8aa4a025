package main

import (
	"cmp"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/tocsin/tocsin/test/report"
)

// write gives the table and the file.
func write(m *report.Machine, b *bench, took time.Duration, asJSON bool) error {
	m.Fsync = ms(b.limits.fsync)
	all := struct {
		Machine report.Machine `json:"machine"`
		Quick   bool           `json:"quick,omitzero"`
		Seconds int            `json:"seconds"`
		Rows    []row          `json:"rows"`
	}{*m, b.quick, int(took.Seconds()), b.rows}
	file, err := report.Write(cmp.Or(report.Dir(), "bench-results"), "bench-"+m.Time.Format("20060102T150405Z"), all)
	if err != nil {
		return err
	}
	if asJSON {
		text, err := os.ReadFile(file)
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		return err
	}
	return b.table(m, file, took)
}

func (b *bench) table(m *report.Machine, file string, took time.Duration) error {
	fmt.Printf("\n%s, %d cores; Linux %s; %s; %s; commit %s\nload before: %s; took %v; kept in %s\n\n",
		m.CPU, m.Cores, m.Kernel, m.Disk, m.Go, m.Commit, m.Load, took.Round(time.Second), file)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "per s\tp50 ms\tp99 ms\tmax ms\tCPU s/1000\tRSS MiB\tread KiB\twrite KiB\tshare\t\twhat\t")
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\t%s\t\n", show(r.PerSecond, 0), show(r.P50, 2), show(r.P99, 2), show(r.Max, 1),
			show(r.CPU, 3), show(r.RSS, 0), show(r.In, 1), show(r.Out, 1), r.share(), r.Part+": "+r.Name)
		if r.Note != "" {
			fmt.Fprintf(w, "\t\t\t\t\t\t\t\t\t\t  %s\t\n", r.Note)
		}
	}
	if b.quick {
		fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\t\t--quick: a smoke test, not a measurement\t")
	}
	return w.Flush()
}

func show(v float64, digits int) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

func (r row) share() string {
	if r.Limit == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%% of %.0f (%s)", 100*r.Share, r.Limit, r.Of)
}

func (r row) sentence() string {
	return fmt.Sprintf("%s: %.0f %s/s, p50 %.2f, p99 %.2f, max %.1f ms, %.3f CPU s per 1,000, peak %.0f MiB, %s",
		r.Name, r.PerSecond, r.Unit, r.P50, r.P99, r.Max, r.CPU, r.RSS, r.share())
}

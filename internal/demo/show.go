package demo

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// A show tells people how the demo goes: one line that is written over on a
// terminal, a line every few seconds elsewhere, nothing but the object with
// JSON.
type show struct {
	out      io.Writer
	json     bool
	terminal bool
	once     bool
	shown    time.Time // when the last line was written
	dirty    bool      // the cursor stands behind a progress line
}

// lineEvery is how often a line is written where lines stay.
const lineEvery = 2 * time.Second

func newShow(o Options) *show {
	s := &show{out: o.Out, json: o.JSON, once: o.Once}
	if f, ok := o.Out.(*os.File); ok {
		info, err := f.Stat()
		s.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return s
}

func (s *show) printf(format string, args ...any) {
	if s.json {
		return
	}
	if s.dirty {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.dirty = false
	}
	fmt.Fprintf(s.out, format, args...)
}

func (s *show) welcome(h *runningHub) {
	s.printf(`The hub serves at %[1]s with simulated CyberVault, EchelonGraph, EdgeAI
Telemetry, Vigilare and Cloud Optix as sources, and Slack, PagerDuty,
Elasticsearch and a webhook receiver as far sides. They make trouble on purpose.

  export KEY=%[2]s
  curl -H "Authorization: Bearer $KEY" '%[1]s/api/v1/alerts?severity=critical'
  curl -H "Authorization: Bearer $KEY" '%[1]s/api/v1/deliveries?state=retrying,dead'
  curl -H "Authorization: Bearer $KEY" '%[1]s/api/v1/audit/verify'
  curl -H "Authorization: Bearer $KEY" '%[1]s/api/v1/findings?wait=true' --json '{"type":"malware","asset_id":"lap-1","severity":"high"}'

`, h.url, h.key)
	if !s.once {
		s.printf("All of it is gone when the demo ends. Ctrl-C ends it.\n\n")
	}
}

// progress tells how far the hub is.
func (s *show) progress(f *feed, m dashboard, after time.Duration) {
	if s.json || !s.terminal && time.Since(s.shown) < lineEvery {
		return
	}
	s.shown = time.Now()
	docs := f.far.siem.Summary().Documents[alertStream]
	line := fmt.Sprintf("%5.1fs  findings %d  alerts %d  merged %.0f %%  webhook %d  slack %d  pagerduty %d  elastic %d  on their way %d  audit %d",
		after.Seconds(), m.Findings+m.Backlog, m.Alerts, m.Reduction, m.done("webhook"), m.done("slack"), m.done("pagerduty"), docs, m.open(), m.Audit)
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	fmt.Fprint(s.out, "\r\x1b[K"+line)
	s.dirty = true
}

// goodbye ends a demo that was broken off before anything could be judged.
func (s *show) goodbye(f *feed) {
	s.printf("\nStopped. %d findings had been sent; nothing was judged. `tocsin demo --once` judges.\n", len(f.accepted))
}

// result prints the summary.
func (s *show) result(f *feed, j *judge) {
	if s.json {
		b, err := json.Marshal(j.result)
		if err != nil {
			panic(err) // the type is ours
		}
		fmt.Fprintf(s.out, "%s\n", b)
		return
	}
	row := func(name, format string, args ...any) {
		s.printf("  %-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	r := &j.result
	reduced := 0.0
	if r.Findings > 0 {
		reduced = 100 * (1 - float64(r.Alerts)/float64(r.Findings))
	}
	s.printf("\n")
	row("findings", "%d accepted; %d invalid ones refused, %d repeated requests answered as before", r.Findings, f.invalid, f.repeated)
	row("triage", "%s", outcomes(j))
	row("alerts", "%d, %.0f %% fewer than findings", r.Alerts, reduced)
	if f.cloud.acked {
		row("one problem", "%q, seen by %s: one alert, %s;", sharedTitle, strings.Join(sharedBy[:], ", "), f.cloud.alert)
		row(" ", "acknowledged here, which %s were told", strings.Join(f.cloud.heard(), ", "))
	}
	row("sources", "%s, %d calls to tell them what was done here", strings.Join(sourceNames[:], ", "), mirrored(j))
	row("events", "%d", j.events)
	soar := j.far.soar.Counts("")
	row("webhook", "%d taken, each signature verified by the receiver; %d repeats after a lost answer", r.Deliveries.Webhook, soar.Repeats)
	row("slack", "%d delivered", r.Deliveries.Slack)
	row("pagerduty", "%d delivered to %d incidents", r.Deliveries.PagerDuty, r.Incidents)
	row("elasticsearch", "%d documents of changes", r.Deliveries.Elastic)
	row("retried", "%d deliveries needed more than one attempt", retried(j))
	row("audit log", "%d entries, chain %s", r.AuditEntries, map[bool]string{true: "verified", false: "BROKEN"}[r.ChainVerified])
	row("lost", "%d", r.Lost)
	row("unsigned", "%d", r.Unsigned)
	row("took", "%.1f s", r.Seconds)
	for _, n := range j.notes {
		s.printf("  %-16s %s\n", "note", n)
	}
	s.faults(j.faults)
}

// maxFaults is how many faults are listed.
const maxFaults = 20

func (s *show) faults(all []string) {
	if len(all) == 0 {
		s.printf("\nEverything that came in was triaged, delivered signed, and is in the audit log.\n")
		return
	}
	s.printf("\n%d faults:\n", len(all))
	for _, f := range all[:min(len(all), maxFaults)] {
		s.printf("  - %s\n", f)
	}
}

// outcomes counts what triage did.
func outcomes(j *judge) string {
	n := map[string]int{}
	for _, f := range j.findings {
		n[f.Outcome]++
	}
	var parts []string
	for _, o := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", o, n[o]))
	}
	return strings.Join(parts, ", ")
}

// mirrored counts the calls that tell source systems what was done here.
func mirrored(j *judge) (n int) {
	for _, d := range j.deliveries {
		if d.Kind == "connector" && d.RunID == "" {
			n++
		}
	}
	return n
}

func retried(j *judge) (n int) {
	for _, d := range j.deliveries {
		if d.Attempts > 1 {
			n++
		}
	}
	return n
}

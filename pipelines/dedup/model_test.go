package dedup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin/tocsin/hub"
)

// A summaryOf an alert is what must not depend on the order of arrival.
type summaryOf struct {
	Status      hub.AlertStatus
	Severity    hub.Severity
	Count       int64
	First, Last time.Time
	Generation  int64
	Sources     string
}

func ofAlert(a *hub.Alert) summaryOf {
	if a == nil {
		return summaryOf{}
	}
	return summaryOf{a.Status, a.Severity, a.Count, a.FirstSeen, a.LastSeen, a.Generation, strings.Join(a.Sources, ",")}
}

// model says what an alert must be from the set of findings alone: it sorts them
// and keeps what each source said last.
func model(findings []*hub.Finding) summaryOf {
	sorted := slices.Clone(findings)
	slices.SortFunc(sorted, func(a, b *hub.Finding) int {
		return cmp.Or(a.ObservedAt.Compare(b.ObservedAt), cmp.Compare(a.SourceSequence, b.SourceSequence))
	})
	var m summaryOf
	says, reported := map[string]*hub.Finding{}, map[string]bool{}
	for _, f := range sorted {
		m.Count++
		says[f.Source] = f
		if f.Status == hub.FindingOpen {
			reported[f.Source] = true
			if m.First.IsZero() {
				m.First = f.ObservedAt
			}
			m.Last = f.ObservedAt
		}
		var worst hub.Severity
		for _, s := range says {
			if s.Status == hub.FindingOpen && s.Severity.Rank() > worst.Rank() {
				worst = s.Severity
			}
		}
		switch {
		case worst != "" && m.Status != hub.AlertOpen:
			m.Status, m.Severity = hub.AlertOpen, worst
			m.Generation++
		case worst != "":
			m.Severity = worst
		case m.Status == hub.AlertOpen:
			m.Status = hub.AlertResolved
		}
	}
	if m.Status == "" {
		return summaryOf{}
	}
	names := make([]string, 0, len(reported))
	for s := range reported {
		names = append(names, s)
	}
	slices.Sort(names)
	m.Sources = strings.Join(names, ",")
	return m
}

func drawHistory(t *rapid.T, limit, sources int) []*hub.Finding {
	n := rapid.IntRange(1, limit).Draw(t, "n")
	history := make([]*hub.Finding, n)
	for i := range history {
		source := string(rune('a' + rapid.IntRange(0, sources-1).Draw(t, "source")))
		sev := hub.Severities[rapid.IntRange(0, 4).Draw(t, "severity")]
		history[i] = saw(source, i, sev)
		if rapid.IntRange(0, 2).Draw(t, "resolved") == 0 {
			history[i].Status = hub.FindingResolved
		}
		if i > 0 && rapid.IntRange(0, 4).Draw(t, "same time") == 0 {
			history[i].ObservedAt = history[i-1].ObservedAt
		}
		history[i].SourceSequence = int64(i)
	}
	return history
}

func describe(history []*hub.Finding) string {
	var b strings.Builder
	for _, f := range history {
		fmt.Fprintf(&b, "%s %s/%d %s %s\n", f.Source, f.ObservedAt.Format("15:04"), f.SourceSequence, f.Status, f.Severity)
	}
	return b.String()
}

func TestArrivalDecidesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt, keepRecent, 3)
		want := model(history)
		for range 4 {
			arrival := rapid.Permutation(history).Draw(rt, "arrival")
			i := newIdentity(t)
			for _, f := range arrival {
				i.see(f)
			}
			if got := ofAlert(i.alert); got != want {
				rt.Fatalf("got  %+v\nwant %+v\nin order:\n%sas it arrived:\n%s", got, want, describe(history), describe(arrival))
			}
		}
	})
}

func TestEveryPermutationOfShortHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt, 5, 2)
		want := model(history)
		permute(slices.Clone(history), 0, func(arrival []*hub.Finding) {
			i := newIdentity(t)
			for _, f := range arrival {
				i.see(f)
			}
			if got := ofAlert(i.alert); got != want {
				rt.Fatalf("got  %+v\nwant %+v\nas it arrived:\n%s", got, want, describe(arrival))
			}
		})
	})
}

func permute(all []*hub.Finding, k int, visit func([]*hub.Finding)) {
	if k == len(all) {
		visit(all)
		return
	}
	for i := k; i < len(all); i++ {
		all[k], all[i] = all[i], all[k]
		permute(all, k+1, visit)
		all[k], all[i] = all[i], all[k]
	}
}

// Long histories are exact as long as nothing arrives behind more than the
// newest 20.
func TestArrivalDecidesNothingInLongHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt, 250, 4)
		want := model(history)
		arrival := slices.Clone(history)
		for i := 0; i+10 < len(arrival); i += 10 {
			copy(arrival[i:i+10], rapid.Permutation(arrival[i:i+10]).Draw(rt, "arrival"))
		}
		i := newIdentity(t)
		for _, f := range arrival {
			i.see(f)
			if n := len(i.state.history); n > keepChanges {
				rt.Fatalf("the state remembers %d observations", n)
			}
		}
		if got := ofAlert(i.alert); got != want {
			rt.Fatalf("got  %+v\nwant %+v\nas it arrived:\n%s", got, want, describe(arrival))
		}
	})
}

// Whatever arrives beyond what is remembered, status, severity and sources are
// right, because they depend on each source's newest observation only.
func TestStatusNeverDependsOnArrival(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt, 150, 3)
		want := model(history)
		i := newIdentity(t)
		for _, f := range rapid.Permutation(history).Draw(rt, "arrival") {
			i.see(f)
		}
		got := ofAlert(i.alert)
		if got.Status == hub.AlertOpen && want.Severity != got.Severity || got.Status != want.Status || got.Sources != want.Sources || got.Last != want.Last || got.Count != want.Count {
			rt.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// Who hears only the events knows in the end whether there is a problem, once
// what was held back is told.
func TestEventsTellTheStatus(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		i := newIdentity(t)
		for _, f := range rapid.Permutation(drawHistory(rt, 60, 2)).Draw(rt, "arrival") {
			i.now = i.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(rt, "pause")) * time.Second)
			i.see(f)
			if rapid.IntRange(0, 9).Draw(rt, "act") == 0 && i.alert != nil {
				kind := rapid.SampledFrom([]ActionKind{Acknowledge, Resolve, Dismiss, Reopen, Suppress}).Draw(rt, "kind")
				a := Action{Kind: kind}
				if kind == Suppress && rapid.Bool().Draw(rt, "for a time") {
					a.Until = i.now.Add(20 * time.Minute)
				}
				if _, err := i.tryAct(a); err != nil && hub.KindOf(err) != hub.Conflict {
					rt.Fatal(err)
				}
			}
		}
		if due := i.state.SummaryDue(); !due.IsZero() {
			d, ok := Summarize(i.state, i.alert, due)
			if !ok {
				rt.Fatal("nothing to tell when it was due")
			}
			i.take(d)
		}
		silent := i.told == "" && (i.alert == nil || i.alert.Status == hub.AlertResolved)
		if !silent && i.told != i.alert.Status {
			rt.Fatalf("the events %v tell %q, the alert is %q", i.events, i.told, i.alert.Status)
		}
	})
}

package vigilare

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A gauge is what is remembered of an account's score.
type gauge struct {
	Known bool      `json:"known,omitempty"`
	Low   bool      `json:"low,omitempty"` // it is an open finding
	SRS   float64   `json:"srs"`
	At    time.Time `json:"at,omitzero"` // of what is remembered
	Seq   int64     `json:"seq,omitempty"`
}

// observe takes a score in; tell is false if it is no news: the same again, or
// high enough and no finding.
func (g *gauge) observe(srs float64, at time.Time, limit int) (p connectors.Place, tell bool) {
	low := srs < float64(limit)
	tell = (low || g.Low) && !(g.Known && low == g.Low && srs == g.SRS)
	if at.After(g.At) {
		g.At, g.Seq = at, 1
	} else if tell {
		g.Seq++
	}
	g.Known, g.Low, g.SRS = true, low, srs
	return connectors.Place{At: g.At, Sequence: g.Seq}, tell
}

// scores compares every account's score with what is remembered.
func (w *pull) scores(ctx context.Context, accounts []account) error {
	for _, a := range accounts {
		if a.SRS == nil || a.Status != "ACTIVE" {
			continue
		}
		if err := w.score(ctx, a); err != nil {
			return err
		}
	}
	if len(w.page.Findings) == 0 {
		return nil
	}
	return w.hand(true)
}

// score takes an account's score in, after those of days that nobody looked.
func (w *pull) score(ctx context.Context, a account) error {
	at := inbound.ParseTime(a.LastScanAt)
	if at.IsZero() {
		at = w.now
	}
	next := w.watch(a.ID).Score // changed only when all of it can be told
	var told []hub.Finding
	days, err := w.missedDays(ctx, a, next, at)
	if err != nil {
		return err
	}
	tell := func(srs float64, at time.Time) {
		if p, ok := next.observe(srs, at, w.source.cfg.MinSRS); ok {
			f := a.scoreFinding(srs, w.source.cfg.MinSRS)
			f.ObservedAt, f.SourceSequence, f.ObservedGiven = p.At, p.Sequence, true
			told = append(told, f)
		}
	}
	for _, d := range days {
		tell(d.SRS, endOf(d.Date))
	}
	tell(*a.SRS, at)
	if len(told) > 0 && next.Low {
		if err := w.document(ctx, a, &told[len(told)-1]); err != nil {
			return err
		}
	}
	w.watch(a.ID).Score = next
	w.page.Findings = append(w.page.Findings, told...)
	return nil
}

// maxDays bounds how much history is asked for.
const maxDays = 365

// missedDays gives the history's days between the last score that was seen and
// this one, oldest first.
func (w *pull) missedDays(ctx context.Context, a account, g gauge, at time.Time) ([]score, error) {
	first, last := g.At.UTC().Format(time.DateOnly), at.UTC().Format(time.DateOnly)
	gap := int(w.now.Sub(g.At)/day) + 2
	if !g.Known || first >= last || at.Sub(g.At) <= day {
		return nil, nil
	}
	history, err := w.source.fetchHistory(ctx, a.ID, min(gap, maxDays))
	if err != nil {
		return nil, ignoreMissing(err)
	}
	days := slices.DeleteFunc(history, func(s score) bool { return s.Date <= first || s.Date >= last || endOf(s.Date).IsZero() })
	slices.SortFunc(days, func(a, b score) int { return strings.Compare(a.Date, b.Date) })
	return days, nil
}

// ignoreMissing is nil for what an account does not have.
func ignoreMissing(err error) error {
	if k := hub.KindOf(err); k == hub.NotFound || k == hub.Forbidden {
		return nil
	}
	return err
}

// endOf is the last second of a day; zero if it is none.
func endOf(date string) time.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}
	}
	return t.Add(day - time.Second)
}

// document adds to a low score how it came about and what to do.
func (w *pull) document(ctx context.Context, a account, f *hub.Finding) error {
	history, err := w.source.fetchHistory(ctx, a.ID, 30)
	if ignoreMissing(err) != nil {
		return err
	}
	steps, err := w.checklist(ctx, a.ID)
	if err != nil {
		return err
	}
	if since := lowSince(history, float64(w.source.cfg.MinSRS)); since != "" {
		f.Description += " It has been below since " + since + "."
		f.Labels["vigilare_low_since"] = since
	}
	f.Raw = raw(a, history, steps)
	attach(f, steps)
	return nil
}

// lowSince is the first of the last days on end with a low score.
func lowSince(history []score, limit float64) (since string) {
	days := slices.Clone(history)
	slices.SortFunc(days, func(a, b score) int { return strings.Compare(b.Date, a.Date) })
	for _, d := range days {
		if d.SRS >= limit {
			break
		}
		since = d.Date
	}
	return since
}

// raw is what Vigilare said that made a score a finding.
func raw(a account, history []score, steps []step) jsontext.Value {
	b, err := json.Marshal(struct {
		Account   jsontext.Value `json:"account"`
		History   []score        `json:"history,omitempty"`
		Checklist []step         `json:"checklist,omitempty"`
	}{a.raw, history, steps})
	if err != nil {
		return a.raw
	}
	return b
}

// scoreFinding maps a score: open while it is below the limit.
func (a account) scoreFinding(srs float64, limit int) hub.Finding {
	text := strconv.FormatFloat(srs, 'f', -1, 64)
	f := hub.Finding{
		SourceID: inbound.Key("score", a.ID), Type: "policy", AssetID: a.ID, Asset: a.asset(), Severity: hub.High, Status: hub.FindingOpen,
		Title:       fmt.Sprintf("Security Risk Score of %s is below %d", a.name(), limit),
		Description: fmt.Sprintf("The score of account %s is %s of 100; the limit is %d.", a.ID, text, limit),
		Labels:      map[string]string{"vigilare_srs": text, "vigilare_min_srs": strconv.Itoa(limit), "aws_account": a.ID},
		Payload:     inbound.Object(map[string]any{"aws_account_id": a.ID, "min_srs": limit}), Raw: raw(a, nil, nil),
		RiskScore: risk(srs),
	}
	if srs < float64(limit)/2 {
		f.Severity = hub.Critical
	}
	if srs >= float64(limit) {
		f.Status = hub.FindingResolved
	}
	inbound.Tidy(&f)
	return f
}

// risk turns a score, of which 100 is best, into ours, of which 100 is worst.
func risk(srs float64) *float64 {
	r := min(max(100-srs, 0), 100)
	return &r
}

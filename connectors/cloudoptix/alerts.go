package cloudoptix

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

const (
	// pageSize is the most that the API gives in one page of alerts.
	pageSize = 50
	// span is how long a window is at most.
	span = 30 * day
	// tries is how often a window is read again whose alerts did not come all.
	tries = 3
)

// alerts reads what was last seen since the last sweep, and everything where
// there is not much of it, that is due, or the counts differ from what is
// remembered.
//
// A window of time is read from its last page to its first. An alert that is
// seen again while somebody pages leaves the window at its end, and those behind
// it move to lower pages, which are still to come. So nothing is passed over, in
// whatever order they list; what left is in the next sweep's window. The count
// tells what came into a window meanwhile.
//
// Where not everything is read, the suppressed ones are read too, if they are few:
// with them known, the count of open ones tells whether another was opened again.
func (w *pull) alerts(ctx context.Context) error {
	if w.Started.IsZero() {
		if err := w.begin(ctx); err != nil {
			return err
		}
	}
	for {
		for w.Window.To.Before(w.Until) || w.Window.Page > 0 {
			if err := w.step(ctx); err != nil {
				return err
			}
		}
		if !w.Deep && !w.Shut && w.source.cfg.takes("SUPPRESS") {
			w.Shut, w.Window = true, window{From: w.start(), To: w.Until, Page: 1, State: "SUPPRESS"}
			continue
		}
		whole, err := w.reconcile(ctx)
		if err != nil {
			return err
		}
		if whole {
			w.swept()
			return w.hand(false)
		}
		w.Deep, w.Window = true, window{To: w.start()}
	}
}

// begin starts a sweep, by their clock.
func (w *pull) begin(ctx context.Context) error {
	query := w.source.cfg.filters()
	query.Set("days", strconv.Itoa(int(time.Duration(w.source.cfg.History)/day)))
	c, at, err := w.source.count(ctx, query)
	if err != nil {
		return err
	}
	w.Started, w.now = at, at.Add(tick)
	w.Until = upTo(at)
	w.Sweep++
	w.Told, w.Shut = false, false
	w.All = c.of(w.source.cfg.Severity) <= w.source.cfg.ReadAll
	w.Deep = w.All || w.Doubt || w.Full.IsZero() || at.Sub(w.Full) >= time.Duration(w.source.cfg.Rescan)
	w.Window = window{To: w.start()}
	if !w.Deep {
		w.Window.To = w.Horizon.Truncate(time.Second).Add(-margin)
	}
	w.Alerts.Begin(w.start())
	return nil
}

// swept ends a whole sweep over the alerts. What else a pull reads has places of
// its own in the cursor: its trouble must not keep the next sweep from beginning.
func (w *pull) swept() {
	w.Alerts.End(w.Started.Add(-margin))
	if w.Deep {
		w.Full = w.Started
	}
	w.Horizon, w.Started, w.Deep, w.All = w.Started, time.Time{}, false, false
}

// upTo is the end of a window that holds all that was seen until at.
func upTo(at time.Time) time.Time { return at.Truncate(time.Second).Add(time.Second) }

// start is where the history begins.
func (w *pull) start() time.Time {
	return w.Started.Truncate(time.Second).Add(-time.Duration(w.source.cfg.History))
}

// query is for the alerts of the window.
func (w *pull) query(in window) url.Values {
	q := w.source.cfg.filters()
	q.Set("lastSeenFrom", stamp(in.From))
	q.Set("lastSeenTo", stamp(in.To))
	if in.State != "" {
		q.Set("states", in.State)
	}
	return q
}

// step reads the next page, of the next window if one is done.
func (w *pull) step(ctx context.Context) error {
	in := w.Window
	if in.Page == 0 {
		in = window{From: in.To.Add(-time.Second), To: in.To.Add(span), Page: 1}
		if w.All || in.To.After(w.Until) {
			in.To = w.Until
		}
	}
	if in.Page == 1 && !in.Down {
		w.seen, w.partial = map[string]bool{}, false
	}
	query := w.query(in)
	if w.source.cfg.Severity != "" {
		query.Set("severity", w.source.cfg.Severity)
	}
	query.Set("page", strconv.Itoa(in.Page))
	query.Set("size", strconv.Itoa(pageSize))
	got, at, err := w.source.list(ctx, "/alerts", query)
	if err != nil {
		return err
	}
	w.now = at.Add(tick)
	w.take(got.Data)
	return w.turn(ctx, in, got)
}

// turn goes on to the page that is to be read after one.
func (w *pull) turn(ctx context.Context, in window, got sheet) error {
	pages := got.TotalPages.Int()
	switch {
	case in.State != "" && max(pages, in.Page)*pageSize > max(w.source.cfg.ReadAll, pageSize):
		w.Window = window{To: in.To} // too many to be read in each pull
		return w.hand(false)
	case in.Down && in.Page > 1:
		in.Page--
	case in.Down:
		return w.close(ctx, in)
	case in.Page == 1 && pages > 1:
		in.Page, in.Down = pages, true
	case got.HasNext && len(got.Data) > 0:
		in.Page++ // they do not tell how many there are
	default:
		return w.close(ctx, in)
	}
	w.Window = in
	return w.hand(false)
}

// close ends a window if as many alerts came as there are.
func (w *pull) close(ctx context.Context, in window) error {
	if !w.partial && in.Try < tries {
		c, _, err := w.source.count(ctx, w.query(in))
		if err != nil {
			return err
		}
		if c.of(w.source.cfg.Severity) > len(w.seen) {
			in.Page, in.Down, in.Try = 1, false, in.Try+1
			w.Window = in
			return w.hand(false)
		}
	}
	w.Window = window{To: in.To}
	return w.hand(false)
}

// take compares a page of alerts with what is remembered.
func (w *pull) take(page []jsontext.Value) {
	for i, raw := range page {
		a, ok := readAlert(raw)
		if !ok {
			w.met(string(raw))
			w.page.Refuse(i, raw, "an alert without a usable id")
			continue
		}
		w.met(a.key())
		place, tell := w.Alerts.Observe(a.sighting(), w.now, w.source.cfg.MaxTracked)
		if !tell {
			continue
		}
		w.Told = true
		f := a.finding()
		f.ObservedAt, f.SourceSequence, f.ObservedGiven = hub.Truncate(place.At), place.Sequence, true
		w.page.Findings = append(w.page.Findings, f)
	}
}

// met takes note that an alert of the window has come.
func (w *pull) met(key string) {
	if w.seen != nil {
		w.seen[key] = true
	}
}

// reconcile compares how many alerts are open with what is remembered. A state
// may change without the alert being seen again, so a difference calls for a
// reading of the whole history; so do other counts of the severities where nothing
// has been told. A difference that is there after two whole readings is known, and
// stands for alerts that Cloud Optix no longer lists; after one, somebody may have
// changed something behind the reader.
func (w *pull) reconcile(ctx context.Context) (whole bool, err error) {
	if !w.source.cfg.takes("OPEN") {
		return true, nil
	}
	query := w.source.cfg.filters()
	query.Set("states", "OPEN")
	query.Set("lastSeenFrom", stamp(w.start()))
	c, at, err := w.source.count(ctx, query)
	if err != nil {
		return false, err
	}
	gap := w.Alerts.Open() + w.Alerts.Untracked() - c.of(w.source.cfg.Severity)
	w.source.keep(c, gap)
	if !w.Deep && (gap != w.Gap || !w.Told && c != w.Counts) {
		w.Until = upTo(at)
		return false, nil
	}
	if w.Deep {
		w.Doubt = gap != 0 && gap != w.Gap
		w.Gap = gap
	}
	w.Counts = c
	return true, nil
}

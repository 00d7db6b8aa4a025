package edgetelemetry

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A list is one that is swept. Its stages are:
//
//   - all items, as far as those of earlier sweeps: finds what is new, also what
//     was opened and closed since the last sweep;
//   - each of the open statuses, in full: changes of older items;
//   - the closed ones, while an item that was open is missing.
//
// A stage has no pages. It is asked for with a limit that grows until the answer
// is shorter, or reaches back far enough, so that one answer holds all of it and
// nothing shifts.
type list struct {
	name, path string
	open       []string
	closed     string // "" where their word for it is not documented: all are read
	finding    func(x item, organization string) hub.Finding
}

var lists = map[string]list{
	"alerts":    {"alerts", "/alerting/alerts", []string{"fired", "acknowledged"}, "resolved", item.alert},
	"incidents": {"incidents", "/incidents", []string{"open"}, "", item.incident},
}

func (l list) stages() int { return 2 + len(l.open) }

// isOpen says whether a stage is one of the open statuses.
func (l list) isOpen(stage int) bool { return stage > 0 && stage <= len(l.open) }

// query is what a stage is asked for with.
func (l list) query(stage, limit int) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	status := ""
	switch {
	case l.isOpen(stage):
		status = l.open[stage-1]
	case stage > 0:
		status = l.closed
	}
	if status != "" {
		q.Set("status", status)
	}
	return q
}

const (
	// firstLimit is the documented default, and growth how much more is asked
	// for when it was not enough.
	firstLimit, growth = 100, 4
	// smallLimit is as few as are asked for where an answer is too large to take.
	smallLimit = 10
)

// limit is how many items a stage is asked for first: where all of them are
// wanted, more than there were.
func (w *pull) limit(l list, m *connectors.Memory) int {
	limit, most := firstLimit, w.source.most(l.name)
	for w.Stage > 0 && limit <= m.Len() {
		limit *= growth
	}
	return min(max(limit, w.Limit), most)
}

// most is the largest limit that a list can be asked for.
func (s *Source) most(list string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.ends[list]; n > 0 {
		return n
	}
	return s.cfg.MaxResults
}

// tooMuch takes note that an answer was too large to take.
func (s *Source) tooMuch(list string, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends[list] = max(limit/2, smallLimit)
}

// sweep asks for a stage of a list and compares the answer with what is
// remembered. The answer is handed over in parts; a sweep that goes on after one
// asks for the stage again, and knows what was told.
func (w *pull) sweep(ctx context.Context, l list) (done bool, err error) {
	m := w.memory(l.name)
	limit := w.limit(l, m)
	items, at, err := w.source.list(ctx, l.path, l.query(w.Stage, limit))
	if hub.KindOf(err) == hub.TooLarge && limit > smallLimit {
		w.source.tooMuch(l.name, limit)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	first := w.Begun.IsZero()
	w.begin(at)
	if first {
		m.Begin(w.Begun.Add(-time.Duration(w.source.cfg.History)))
	}
	seen, err := w.read(ctx, l, m, items)
	if err != nil {
		return false, err
	}
	if len(items) >= limit && !w.enough(l, m, seen) {
		if limit < w.source.most(l.name) {
			w.Limit = limit * growth
			return false, nil
		}
		w.overflow(l, limit)
	}
	w.suspect(l, len(items), limit)
	return w.nextStage(l, m), nil
}

// order is what an answer's items are in.
type order struct {
	unordered bool // not newest first
	oldest    time.Time
}

// read compares an answer with what is remembered.
func (w *pull) read(ctx context.Context, l list, m *connectors.Memory, items []jsontext.Value) (seen order, err error) {
	var last time.Time
	for i, raw := range items {
		x, ok := readItem(raw)
		if !ok {
			w.page.Refuse(i, raw, "an entry of "+l.name+" without a usable id")
			continue
		}
		seen.unordered = seen.unordered || x.created.IsZero() || !last.IsZero() && x.created.After(last)
		last, seen.oldest = x.created, x.created
		place, tell := m.Observe(x.sighting(), w.now, w.source.cfg.MaxTracked)
		if !tell || l.name == "alerts" && w.source.own.took(x.id, x.status) {
			continue
		}
		w.enrich(ctx, l, &x)
		f := l.finding(x, w.source.asset)
		if x.inHand() && f.AcknowledgedAt.IsZero() {
			f.AcknowledgedAt = place.At
		}
		w.tell(f, place)
		if len(w.page.Findings) >= pageOf {
			if err := w.hand(true); err != nil {
				return seen, err
			}
		}
	}
	return seen, nil
}

// enough reports whether the rest of a stage can hold nothing of use.
func (w *pull) enough(l list, m *connectors.Memory, seen order) bool {
	switch {
	case w.Stage == 0:
		return !seen.unordered && seen.oldest.Before(m.Horizon())
	case !l.isOpen(w.Stage):
		return m.Missing() == 0
	}
	return false
}

// overflow takes note of a stage that is longer than can be asked for. It costs
// nothing but of what is open: the rest is older than what was told.
func (w *pull) overflow(l list, limit int) {
	if !l.isOpen(w.Stage) && (w.Stage > 0 || w.memory(l.name).Sweeps() > 1) {
		return
	}
	if limit < w.source.cfg.MaxResults {
		w.crowded = append(w.crowded, fmt.Sprintf("an answer above 16 MiB cannot be taken, so that no more than %d %s are seen; resolve old ones there", limit, l.name))
		return
	}
	w.crowded = append(w.crowded, fmt.Sprintf("there are more %s than max_results allows (%d); raise it, or older ones are not seen", l.name, limit))
}

// suspect tells people of an answer that looks as if it had been cut by a limit
// of theirs, of which the document says nothing.
func (w *pull) suspect(l list, got, limit int) {
	if !l.isOpen(w.Stage) {
		return
	}
	name := l.open[w.Stage-1] + " " + l.name + " beyond a limit"
	if got == 0 || got >= limit || got%firstLimit != 0 {
		w.source.found(name)
		return
	}
	w.source.miss(name, fmt.Sprintf("asked for %d, there came %d; if %s cuts there, older ones cannot be seen", limit, got, vendor))
}

// nextStage goes on to the next stage; done says that there is none.
func (w *pull) nextStage(l list, m *connectors.Memory) (done bool) {
	w.Stage++
	w.Limit = 0
	if w.Stage < l.stages() && (l.isOpen(w.Stage) || m.Missing() > 0) {
		return false
	}
	m.End(w.Begun.Add(-margin))
	return true
}

// A budget is how many more requests one page may cause.
type budget struct{ details, blasts int }

var fullBudget = budget{details: 20, blasts: 5}

// enrich adds what EdgeAI knows beside an item that is told. An item never waits
// for it: what cannot be had now is left out.
func (w *pull) enrich(ctx context.Context, l list, x *item) {
	if x.ruleID != "" {
		x.rule = w.rule(ctx, x.ruleID)
	}
	if x.closed() || x.severity().Rank() < hub.High.Rank() || !plainID(x.id) {
		return
	}
	if l.name == "incidents" && w.budget.details > 0 {
		w.budget.details--
		data, _, err := w.source.get(ctx, l.path+"/"+url.PathEscape(x.id), nil)
		if err == nil {
			x.detail(data)
		}
	}
	node := x.asset("")
	if x.severity() == hub.Critical && w.source.blasts() && w.budget.blasts > 0 && plainID(node) {
		w.budget.blasts--
		x.blast = w.blast(ctx, node)
	}
}

func (s *Source) blasts() bool { return s.cfg.BlastRadius == nil || *s.cfg.BlastRadius }

// rule gives the name of an alert rule; the rules are asked for once a pull.
func (w *pull) rule(ctx context.Context, id string) string {
	if w.rules == nil {
		w.rules = map[string]string{}
		items, _, err := w.source.list(ctx, "/alerting/rules", nil)
		if err != nil {
			return ""
		}
		for _, raw := range items {
			f := readFields(raw)
			if inner := readFields(f["rule"]); inner != nil {
				f = inner
			}
			w.rules[f.text("id")] = f.text("name")
		}
	}
	return w.rules[id]
}

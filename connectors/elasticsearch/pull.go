package elasticsearch

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Pull walks over what is new by each time field.
func (s *Source) Pull(ctx context.Context, cursor []byte, emit connectors.Emit) error {
	pos, err := restore(cursor, s.fields(), s.now().Add(-time.Duration(s.cfg.History)))
	if err != nil {
		return err
	}
	for i := range pos.walks {
		w := &walk{s: s, pos: pos, now: s.now(), emit: emit, walked: &pos.walks[i], size: s.cfg.PageSize}
		if err := w.run(ctx); err != nil {
			return err
		}
	}
	changed := pos.finish(time.Duration(s.cfg.Overlap))
	if !changed {
		return nil
	}
	return emit(connectors.Page{}, pos.store())
}

// A walk goes over the documents by one time field, oldest first.
type walk struct {
	*walked
	s    *Source
	pos  *position
	now  time.Time
	emit connectors.Emit
	size int

	pit   string
	from  time.Time
	after []jsontext.Value
}

func (w *walk) run(ctx context.Context) (err error) {
	if w.pit, err = w.s.client.openPoint(ctx, w.s.cfg.Index); err != nil {
		return err
	}
	defer func() {
		// One that was throttled keeps quiet, and one that is to end ends: the
		// point in time ends by itself.
		if hub.KindOf(err) != hub.RateLimited && ctx.Err() == nil {
			w.s.client.closePoint(ctx, w.pit)
		}
	}()
	w.from = w.mark.Add(-time.Duration(w.s.cfg.Overlap))
	for {
		var hits []document.Hit
		if hits, err = w.next(ctx); err != nil {
			return err
		}
		if err = w.take(hits); err != nil {
			return err
		}
		if len(hits) < w.size {
			return nil
		}
		w.after = hits[len(hits)-1].Sort
	}
}

// next asks for the next page, and for a smaller one if that is too large.
func (w *walk) next(ctx context.Context) ([]document.Hit, error) {
	query, err := w.query()
	if err != nil {
		return nil, err
	}
	for {
		f, err := w.s.client.search(ctx, "/_search", &search{
			Size: w.size, Query: query, After: w.after, PIT: &pointInTime{w.pit, keepAlive}, Version: true,
			Sort: []map[string]any{
				{w.field: map[string]any{"order": "asc", "format": "strict_date_optional_time_nanos", "unmapped_type": "date"}},
				{"_shard_doc": "asc"},
			},
		})
		if hub.KindOf(err) == hub.TooLarge && w.size > 1 {
			w.size /= 2
			continue
		}
		if err != nil {
			return nil, err
		}
		if f.PIT != "" {
			w.pit = f.PIT
		}
		return f.Hits.Hits, nil
	}
}

// query is the config's, from the walk's time on.
func (w *walk) query() (jsontext.Value, error) {
	filter := []any{map[string]any{"range": map[string]any{w.field: map[string]any{"gte": w.from.UTC().Format(time.RFC3339Nano), "format": "strict_date_optional_time_nanos"}}}}
	if w.s.cfg.Query != "" {
		filter = append(filter, jsontext.Value(w.s.cfg.Query))
	}
	b, err := json.Marshal(map[string]any{"bool": map[string]any{"filter": filter}})
	if err != nil {
		return nil, hub.Wrap(hub.Internal, err, "the query could not be made")
	}
	return b, nil
}

// take tells of what is new on a page, and makes it durable with the place where
// to go on.
func (w *walk) take(hits []document.Hit) error {
	var page connectors.Page
	before := w.mark
	for i := range hits {
		h := &hits[i]
		at := w.time(h)
		known := w.pos.see(w.walked, keyOf(h), at)
		if at.After(w.mark) && !at.After(w.now) { // a time to come would hide what comes before it
			w.mark = at
		}
		if known {
			continue
		}
		switch f, err := w.s.finding(h); {
		case err != nil:
			page.Rejects = append(page.Rejects, connectors.Reject{Index: i, Error: err.Error(), Item: h.Source})
		case f != nil:
			page.Findings = append(page.Findings, *f)
		}
	}
	w.pos.forget(w.walked, w.mark.Add(-time.Duration(w.s.cfg.Overlap)))
	w.pos.changed = w.pos.changed || w.mark.After(before)
	if len(page.Findings)+len(page.Rejects) == 0 && len(hits) < w.size {
		return nil // the end of the pull stores the cursor
	}
	return w.emit(page, w.pos.store())
}

// time is the value that the document was sorted by.
func (w *walk) time(h *document.Hit) time.Time {
	if len(h.Sort) == 0 {
		return time.Time{}
	}
	return inbound.ParseTime(connectors.Text(h.Sort[0]))
}

// Test opens a point in time and closes it.
func (s *Source) Test(ctx context.Context) error {
	pit, err := s.client.openPoint(ctx, s.cfg.Index)
	if err != nil {
		return err
	}
	defer s.client.closePoint(ctx, pit)
	_, err = s.client.search(ctx, "/_search", &search{Query: jsontext.Value(`{"match_all":{}}`), PIT: &pointInTime{ID: pit}, Sort: []map[string]any{{"_shard_doc": "asc"}}})
	return err
}

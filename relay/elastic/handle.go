package elastic

import (
	"context"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// Handle writes the documents of a window of events, each the JSON of a
// [hub.Event], and returns the dead letters.
//
// A nil error means that every event of the window is durable in Elasticsearch
// or among the dead letters. Otherwise nothing is promised and nothing is lost:
// the caller keeps the whole window and hands it over again, after the error's
// RetryAfter if it has one. Ids are made of the events, so repeating is
// harmless.
func (k *Sink) Handle(ctx context.Context, events [][]byte) ([]DeadLetter, error) {
	return k.handle(ctx, events, false)
}

// HandleAgain is Handle for a window of which something may have been handled
// before, here or by another process: it looks for that first. Ids alone do not
// tell after a rollover.
func (k *Sink) HandleAgain(ctx context.Context, events [][]byte) ([]DeadLetter, error) {
	return k.handle(ctx, events, true)
}

func (k *Sink) handle(ctx context.Context, events [][]byte, again bool) ([]DeadLetter, error) {
	docs, dead := k.mapping.window(events)
	r, err := k.put(ctx, docs, again)
	if err != nil {
		return nil, err
	}
	k.dead.Add(int64(len(dead)))
	return append(dead, r.Dead...), nil
}

// window maps a window of events. Of several states of one alert only the
// newest is kept: the others would be overwritten in the same breath.
func (m Mapping) window(events [][]byte) (docs []Doc, dead []DeadLetter) {
	docs = make([]Doc, 0, 2*len(events))
	newest := make(map[string]int, len(events))
	for _, payload := range events {
		var ev hub.Event
		if err := json.Unmarshal(payload, &ev); err != nil {
			dead = append(dead, DeadLetter{EventID: ev.ID, Type: "unreadable_event", Reason: err.Error(), Doc: payload})
			continue
		}
		for _, d := range m.Documents(&ev) {
			if d.Version == 0 {
				docs = append(docs, d)
				continue
			}
			if at, seen := newest[d.ID]; !seen {
				newest[d.ID] = len(docs)
				docs = append(docs, d)
			} else if d.Version > docs[at].Version {
				docs[at] = d
			}
		}
	}
	return docs, dead
}

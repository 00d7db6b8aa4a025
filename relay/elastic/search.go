package elastic

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
)

// search finds out which of the lines with a lost answer are written, and
// finishes them. Sending them again would be enough were ids unique in a data
// stream, but they are so only within one backing index: after a rollover in
// between, the same id would be a second document.
//
// A search that is not allowed is no reason to stop: without it a document may
// be there twice, which is better than not at all.
func (k *Sink) search(ctx context.Context, l *ledger, lines []int) *fault {
	byStream := map[string][]int{}
	for _, i := range lines {
		if l.lines[i] == lineUnknown && l.docs[i].Version == 0 {
			byStream[l.docs[i].Index] = append(byStream[l.docs[i].Index], i)
		}
	}
	for stream, lines := range byStream {
		found, f := k.written(ctx, l, stream, lines)
		if f != nil && (f.passes() || f.Status == http.StatusUnauthorized) {
			return f
		}
		if f != nil {
			k.log.WarnContext(ctx, "cannot look for written documents", "stream", stream, "cause", f.String())
		}
		for _, i := range lines {
			if found[l.docs[i].ID] {
				l.finish(i)
			}
		}
	}
	return nil
}

// written asks which documents are in any backing index of the stream.
func (k *Sink) written(ctx context.Context, l *ledger, stream string, lines []int) (map[string]bool, *fault) {
	// What was just written is not searchable yet. If refreshing is not
	// allowed, the wait before this round has to do; if it fails for now, the
	// search would prove nothing.
	if _, f := k.call(ctx, http.MethodPost, "/"+stream+"/_refresh", "application/json", nil); f != nil && (f.passes() || f.Status == http.StatusUnauthorized) {
		return nil, f
	}
	ids := make([]string, len(lines))
	for n, i := range lines {
		ids[n] = l.docs[i].ID
	}
	query, err := json.Marshal(idsQuery{Size: 2 * len(ids), Query: idsClause{IDs: idsValues{Values: ids}}})
	if err != nil {
		return nil, &fault{err: err}
	}
	path := "/" + stream + "/_search?ignore_unavailable=true&allow_partial_search_results=false&filter_path=hits.hits._id"
	answer, f := k.call(ctx, http.MethodPost, path, "application/json", query)
	if f != nil {
		return nil, f
	}
	return readHits(answer)
}

// An idsQuery looks for documents by their ids, without their content. Its
// size leaves room for documents that are there twice already.
type idsQuery struct {
	Size   int       `json:"size"`
	Source bool      `json:"_source"`
	Query  idsClause `json:"query"`
}

type idsClause struct {
	IDs idsValues `json:"ids"`
}

type idsValues struct {
	Values []string `json:"values"`
}

func readHits(body []byte) (map[string]bool, *fault) {
	var answer struct {
		Hits struct {
			Hits []struct {
				ID string `json:"_id"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, &fault{err: fmt.Errorf("read search answer: %w", err)}
	}
	found := make(map[string]bool, len(answer.Hits.Hits))
	for _, h := range answer.Hits.Hits {
		found[h.ID] = true
	}
	return found, nil
}

package elasticsearch

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
)

// keepAlive is how long Elasticsearch keeps a point in time from one page to the
// next.
const keepAlive = "2m"

// A search is one page of one walk, in Elasticsearch's words.
type search struct {
	Size    int              `json:"size"`
	Query   jsontext.Value   `json:"query"`
	Sort    []map[string]any `json:"sort"`
	After   []jsontext.Value `json:"search_after,omitempty"`
	PIT     *pointInTime     `json:"pit,omitempty"`
	Version bool             `json:"version"`
	Total   bool             `json:"track_total_hits"`
}

type pointInTime struct {
	ID        string `json:"id"`
	KeepAlive string `json:"keep_alive,omitempty"`
}

// A found is the answer to a search.
type found struct {
	PIT      string `json:"pit_id"`
	TimedOut bool   `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total jsontext.Value `json:"total"`
		Hits  []document.Hit `json:"hits"`
	} `json:"hits"`
}

// openPoint opens a point in time: what is searched in it does not change while
// somebody pages.
func (c *client) openPoint(ctx context.Context, index string) (string, error) {
	var answer struct {
		ID string `json:"id"`
	}
	query := url.Values{"keep_alive": {keepAlive}, "ignore_unavailable": {"true"}}
	if err := c.call(ctx, http.MethodPost, "/"+escaped(index)+"/_pit", query, nil, &answer); err != nil {
		return "", err
	}
	if answer.ID == "" {
		return "", hub.E(hub.Transient, "Elasticsearch opened no point in time")
	}
	return answer.ID, nil
}

// closePoint frees what a point in time holds. If that fails it ends by itself.
func (c *client) closePoint(ctx context.Context, id string) {
	var answer jsontext.Value
	_ = c.call(ctx, http.MethodDelete, "/_pit", nil, pointInTime{ID: id}, &answer)
}

// search asks for one page. An answer that some shards had no part in is none:
// what they hold would be passed over.
func (c *client) search(ctx context.Context, path string, s *search) (*found, error) {
	var f found
	if err := c.call(ctx, http.MethodPost, path, nil, s, &f); err != nil {
		return nil, err
	}
	if f.TimedOut || f.Shards.Failed > 0 {
		return nil, hub.E(hub.Transient, "Elasticsearch could not search every shard; the connector tries again by itself")
	}
	return &f, nil
}

// escaped keeps commas and stars, which have a meaning in an index's name.
func escaped(index string) string {
	u := url.URL{Path: index}
	return u.EscapedPath()
}

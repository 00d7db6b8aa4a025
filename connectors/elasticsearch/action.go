package elasticsearch

import (
	"context"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const actionSearch = "elasticsearch.search"

// maxHits bounds what a playbook's step gets.
const maxHits = 100

// Actions lists what a playbook may ask for.
func (*Source) Actions() []connectors.ActionSpec {
	return []connectors.ActionSpec{{
		Name: actionSearch, Doc: "searches Elasticsearch: gives total, and up to 100 hits with _index, _id and _source",
		Params: []connectors.ParamSpec{
			{Name: "query", Type: connectors.ParamObject, Required: true, Doc: "in Elasticsearch's query language"},
			{Name: "index", Type: connectors.ParamString, Doc: "names and patterns with commas between; the connector's own by default"},
			{Name: "size", Type: connectors.ParamNumber, Doc: "hits at most, 10 by default"},
			{Name: "sort", Type: connectors.ParamArray, Doc: "in Elasticsearch's words; newest first by default"},
			{Name: "fields", Type: connectors.ParamArray, Doc: "of the documents that are wanted; all by default"},
		},
	}}
}

// Do searches. It changes nothing, so the key does not matter.
func (s *Source) Do(ctx context.Context, action, _ string, params jsontext.Value) (jsontext.Value, error) {
	in := struct {
		Query  jsontext.Value `json:"query"`
		Index  string         `json:"index"`
		Size   int            `json:"size"`
		Sort   jsontext.Value `json:"sort"`
		Fields jsontext.Value `json:"fields"`
	}{
		Index: s.cfg.Index, Size: 10,
	}
	if action != actionSearch {
		return nil, hub.E(hub.Invalid, "Elasticsearch has no action "+action)
	}
	if err := json.Unmarshal(params, &in); err != nil {
		return nil, hub.Wrap(hub.Invalid, err, actionSearch+" wants query, and index, size, sort and fields if need be")
	}
	if in.Size < 0 || in.Size > maxHits {
		return nil, hub.E(hub.Invalid, "/size: want 0 to 100")
	}
	if !plainIndex(in.Index) {
		return nil, hub.E(hub.Invalid, "/index: want names and patterns with commas between")
	}
	if in.Sort == nil {
		in.Sort = jsontext.Value(`[{"` + "@timestamp" + `":{"order":"desc","unmapped_type":"date"}}]`)
	}
	body := map[string]any{"query": in.Query, "size": in.Size, "sort": in.Sort, "track_total_hits": true}
	if in.Fields != nil {
		body["_source"] = in.Fields
	}
	return s.client.ask(ctx, in.Index, body)
}

// ask searches once and gives what a playbook sees.
func (c *client) ask(ctx context.Context, index string, body any) (jsontext.Value, error) {
	var answer struct {
		Hits struct {
			Total struct {
				Value int64 `json:"value"`
			} `json:"total"`
			Hits []struct {
				Index  string         `json:"_index"`
				ID     string         `json:"_id"`
				Source jsontext.Value `json:"_source,omitempty"`
			} `json:"hits"`
		} `json:"hits"`
	}
	query := url.Values{"ignore_unavailable": {"true"}, "allow_partial_search_results": {"false"}}
	if err := c.call(ctx, "POST", "/"+escaped(index)+"/_search", query, body, &answer); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"total": answer.Hits.Total.Value, "hits": answer.Hits.Hits}, json.Deterministic(true))
}

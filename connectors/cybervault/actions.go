package cybervault

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Names of the actions.
const (
	actionSubmit = "cybervault.submit_finding"
	actionBatch  = "cybervault.batch_alerts"
)

// maxBatch bounds a batch; the document names no bound, so it is the one of
// its pages.
const maxBatch = 200

var (
	classes    = []string{"xss", "csrf", "brute_force", "malware", "custom"}
	severities = []string{"critical", "high", "medium", "low"}
)

// Actions lists what CyberVault does for playbooks.
func (*Source) Actions() []connectors.ActionSpec {
	return []connectors.ActionSpec{
		{Name: actionSubmit, Doc: "submits one security finding to CyberVault", Params: []connectors.ParamSpec{
			{Name: "type", Type: connectors.ParamString, Required: true, Enum: classes, Doc: "vulnerability class"},
			{Name: "asset_id", Type: connectors.ParamString, Required: true, Doc: "asset identifier in CyberVault's inventory"},
			{Name: "severity", Type: connectors.ParamString, Required: true, Enum: severities},
			{Name: "payload", Type: connectors.ParamObject, Doc: "custom metadata, proof or scanner output"},
		}},
		{Name: actionBatch, Doc: "creates up to 200 alerts in CyberVault", Params: []connectors.ParamSpec{
			{Name: "alerts", Type: connectors.ParamArray, Required: true, Doc: "objects with type, asset_id, severity and payload"},
		}},
	}
}

// A submission is what CyberVault takes as a finding, and in a batch.
type submission struct {
	Type     string         `json:"type"`
	AssetID  string         `json:"asset_id"`
	Severity string         `json:"severity"`
	Payload  jsontext.Value `json:"payload,omitempty"`
}

// Do performs an action. CyberVault takes no idempotency key, but drops
// findings that it has: the key goes into the payload, which makes two actions
// different and a repeat the same.
func (s *Source) Do(ctx context.Context, action, key string, params jsontext.Value) (jsontext.Value, error) {
	switch action {
	case actionSubmit:
		var f submission
		if err := json.Unmarshal(params, &f, json.RejectUnknownMembers(true)); err != nil {
			return nil, hub.Wrap(hub.Invalid, err, actionSubmit+" wants type, asset_id, severity and payload")
		}
		return s.submit(ctx, "/findings", key, []submission{f}, false)
	case actionBatch:
		var in struct {
			Alerts []submission `json:"alerts"`
		}
		if err := json.Unmarshal(params, &in, json.RejectUnknownMembers(true)); err != nil {
			return nil, hub.Wrap(hub.Invalid, err, actionBatch+" wants alerts: a list of objects with type, asset_id, severity and payload")
		}
		return s.submit(ctx, "/alerts", key, in.Alerts, true)
	}
	return nil, hub.E(hub.Invalid, "CyberVault has no action "+action)
}

func (s *Source) submit(ctx context.Context, path, key string, items []submission, batch bool) (jsontext.Value, error) {
	if err := check(items); err != nil {
		return nil, err
	}
	for i := range items {
		marked, err := mark(items[i].Payload, fmt.Sprintf("%s/%d", key, i))
		if err != nil {
			return nil, err
		}
		items[i].Payload = marked
	}
	var whole any = items
	if !batch {
		whole = items[0]
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the parameters cannot be sent as JSON")
	}
	answer, err := s.api.Do(ctx, connectors.Call{Method: http.MethodPost, Path: path, Body: body, Urgent: true})
	if err != nil {
		return nil, err
	}
	result := jsontext.Value(answer.Body)
	if !result.IsValid() {
		return nil, nil // taken all the same
	}
	return result, nil
}

func check(items []submission) error {
	if len(items) == 0 || len(items) > maxBatch {
		return hub.E(hub.Invalid, fmt.Sprintf("/alerts: want 1 to %d, got %d", maxBatch, len(items)))
	}
	for i, f := range items {
		switch {
		case !slices.Contains(classes, f.Type):
			return hub.E(hub.Invalid, fmt.Sprintf("/alerts/%d/type: CyberVault takes xss, csrf, brute_force, malware and custom", i))
		case f.AssetID == "":
			return hub.E(hub.Invalid, fmt.Sprintf("/alerts/%d/asset_id: is required", i))
		case !slices.Contains(severities, f.Severity):
			return hub.E(hub.Invalid, fmt.Sprintf("/alerts/%d/severity: CyberVault takes critical, high, medium and low", i))
		}
	}
	return nil
}

// mark puts the idempotency key into a payload.
func mark(payload jsontext.Value, key string) (jsontext.Value, error) {
	members := map[string]jsontext.Value{}
	if len(payload) > 0 && payload.Kind() != 'n' {
		if err := json.Unmarshal(payload, &members); err != nil {
			return nil, hub.Wrap(hub.Invalid, err, "/payload: want an object")
		}
	}
	quoted, err := jsontext.AppendQuote(nil, key)
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the idempotency key is no text")
	}
	members["tocsin_key"] = quoted
	// Deterministic, so that a repeat is the same to the byte.
	return json.Marshal(members, json.Deterministic(true))
}

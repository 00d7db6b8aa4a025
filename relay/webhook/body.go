package webhook

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// params are what a playbook step gives.
type params struct {
	Body    jsontext.Value `json:"body"`    // of webhook.send
	Message string         `json:"message"` // of notify
}

// messageID is the webhook-id. It holds no dot.
func messageID(d *hub.Delivery) string {
	if d.Run == "" {
		return string(d.EventID)
	}
	return hub.PrefixEvent + strings.TrimPrefix(string(d.ID), hub.PrefixDelivery)
}

// body is what is sent: the event as it is, but for what step or endpoint ask.
func (t *Target) body(e *hub.Endpoint, d *hub.Delivery) ([]byte, error) {
	if len(d.Params) > 0 {
		var p params
		if err := json.Unmarshal(d.Params, &p); err != nil {
			return nil, hub.Wrap(hub.Internal, err, "the step's values cannot be read")
		}
		switch {
		case len(p.Body) > 0:
			return p.Body, nil
		case p.Message != "":
			return withMessage(d.Body, p.Message)
		}
	}
	if e.Transform == "" {
		return d.Body, nil
	}
	if t.o.Transform == nil {
		return nil, hub.E(hub.Internal, "this hub does not transform events, and the endpoint asks for it; clear its transform")
	}
	body, err := t.o.Transform(e.Transform, d.Body)
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the endpoint's transform failed for this event")
	}
	return body, nil
}

// withMessage adds the attribute message to an event; CloudEvents allows
// attributes of one's own.
func withMessage(event []byte, message string) ([]byte, error) {
	head, ok := bytes.CutSuffix(bytes.TrimSpace(event), []byte("}"))
	if !ok || len(head) < 2 {
		return nil, hub.E(hub.Internal, "the stored event is not a JSON object")
	}
	out := append(make([]byte, 0, len(head)+len(message)+16), head...)
	out = append(out, `,"message":`...)
	out, _ = jsontext.AppendQuote(out, message) // it fails for bad UTF-8, which it replaces
	return append(out, '}'), nil
}

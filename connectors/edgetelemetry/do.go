package edgetelemetry

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// Do performs an action. EdgeAI takes no idempotency key. Most actions change
// nothing more when they are repeated, and what is done already counts as done;
// those that make something look for what an earlier try has made.
func (s *Source) Do(ctx context.Context, action, _ string, params jsontext.Value) (jsontext.Value, error) {
	call, err := connectors.CallOf(endpoints(), action, params)
	if err != nil {
		return nil, err
	}
	p := readFields(params)
	switch action {
	case actionAck:
		return s.move(ctx, p.text("alert_id"), "acknowledged", call)
	case actionResolve:
		return s.move(ctx, p.text("alert_id"), "resolved", call)
	case actionSwitch:
		return s.turn(ctx, call, p["active"].Kind() == 't')
	case actionRule:
		return s.make(ctx, call, func(x fields) bool { return covers(inner(x, "rule"), p, "channel_ids") })
	case actionChannel:
		return s.make(ctx, call, func(x fields) bool { return covers(x, p, "config") })
	case actionUser:
		return s.make(ctx, call, func(x fields) bool { return strings.EqualFold(x.text("email"), p.text("email")) })
	case actionRole:
		return s.make(ctx, call, func(x fields) bool { return x.text("name") == p.text("name") })
	}
	data, err := s.do(ctx, call)
	if err != nil {
		return nil, err
	}
	switch action {
	case actionExport:
		return exported(p.text("format"), data)
	case actionChannels:
		return withoutSettings(data)
	}
	return data, nil
}

// done is the result of what changes nothing.
var done = jsontext.Value(`{"message":"it is so already"}`)

// do makes a call and opens its answer. What is so already has been done, and
// what is to be removed and is not there has been removed.
func (s *Source) do(ctx context.Context, c connectors.Call) (jsontext.Value, error) {
	api := s.api
	if strings.HasPrefix(c.Path, "/auth/") {
		if err := s.pace.take(time.Now()); err != nil {
			return nil, err
		}
		api = s.auth
	}
	answer, err := api.Do(ctx, c)
	switch k := hub.KindOf(err); {
	case k == hub.Conflict, k == hub.NotFound && c.Method == http.MethodDelete:
		return done, nil
	case err != nil:
		return nil, err
	}
	s.note(answer)
	if answer.Result() == nil { // 204, or something that is no JSON
		return nil, nil
	}
	return open(c.Method, answer)
}

// move acknowledges or resolves an alert, and remembers that it was us.
func (s *Source) move(ctx context.Context, id, status string, c connectors.Call) (jsontext.Value, error) {
	again := s.own.set(id, status) // a pull may be quicker than the answer
	result, err := s.do(ctx, c)
	k := hub.KindOf(err)
	switch {
	case err == nil && !again && bytes.Equal(result, done): // somebody else's doing, or a pull has met it
		s.own.drop(id)
	case err != nil && k != hub.Transient && k != hub.RateLimited:
		s.own.drop(id)
	}
	return result, err
}

// turn turns an alert rule on or off. Their call only turns it over, so that it is
// looked at first: a repeat must not undo what the first try did.
func (s *Source) turn(ctx context.Context, toggle connectors.Call, active bool) (jsontext.Value, error) {
	data, err := s.do(ctx, connectors.Call{Method: http.MethodGet, Path: strings.TrimSuffix(toggle.Path, "/toggle"), Urgent: true})
	if err != nil {
		return nil, err
	}
	is := inner(readFields(data), "rule")["is_active"]
	switch {
	case is.Kind() != 't' && is.Kind() != 'f':
		return nil, hub.E(hub.Transient, vendor+" does not tell whether the alert rule is active")
	case (is.Kind() == 't') == active:
		return done, nil
	}
	toggle.Body = nil
	return s.do(ctx, toggle)
}

// inner gives the object that is in a member, or the whole where there is none.
func inner(f fields, name string) fields {
	if in := readFields(f[name]); in != nil {
		return in
	}
	return f
}

// make makes something, unless the list shows one that is like it already.
func (s *Source) make(ctx context.Context, c connectors.Call, like func(fields) bool) (jsontext.Value, error) {
	data, err := s.do(ctx, connectors.Call{Method: http.MethodGet, Path: c.Path, Query: url.Values{}, Urgent: true})
	if err != nil && hub.KindOf(err) != hub.Forbidden {
		return nil, err
	}
	items, _ := listIn(data)
	for _, raw := range items {
		if like(readFields(raw)) {
			return withoutSettings(raw)
		}
	}
	data, err = s.do(ctx, c)
	if err != nil {
		return nil, err
	}
	return withoutSettings(data)
}

// covers reports whether every member of want, but the ones left out, is the same
// in is as far as is has it.
func covers(is, want fields, leave string) bool {
	for name, v := range want {
		there := is[name]
		if name == leave || there == nil && name != "name" {
			continue
		}
		a, b := jsontext.Value(bytes.Clone(v)), jsontext.Value(bytes.Clone(there))
		if a.Canonicalize() != nil || b.Canonicalize() != nil || !bytes.Equal(a, b) {
			return false
		}
	}
	return true
}

// withoutSettings takes the settings out of channels: they hold keys of other
// systems, and a result is kept with the playbook's run.
func withoutSettings(data jsontext.Value) (jsontext.Value, error) {
	if items := []jsontext.Value(nil); data.Kind() == '[' && json.Unmarshal(data, &items) == nil {
		for i := range items {
			var err error
			if items[i], err = withoutSettings(items[i]); err != nil {
				return nil, err
			}
		}
		return json.Marshal(items)
	}
	f := readFields(data)
	if f["config"] == nil {
		return data, nil
	}
	delete(f, "config")
	return json.Marshal(f, json.Deterministic(true))
}

// Mirror tells EdgeAI of alerts of its own that were acknowledged here, or
// closed. It has no call to open one again, and none for incidents.
func (*Source) Mirror(change hub.EventType, sourceID string) (string, jsontext.Value) {
	id, ok := strings.CutPrefix(sourceID, "alert|")
	if !ok || !plainID(id) {
		return "", nil
	}
	action := ""
	switch change {
	case hub.AlertAcknowledgedEvent:
		action = actionAck
	case hub.AlertResolvedEvent, hub.AlertDismissedEvent:
		action = actionResolve
	default:
		return "", nil
	}
	params, err := json.Marshal(map[string]string{"alert_id": id})
	if err != nil {
		return "", nil
	}
	return action, params
}

// Package route decides which endpoints an event goes to by subscription.
//
// An endpoint gets an event if one of its globs matches the event's type and
// its filter, if it has one, is true. Globs are those of internal/glob. An
// endpoint without globs gets only what playbooks send to it by name.
//
// Whether an endpoint is enabled is not looked at: events for one that is
// switched off or failing are held for it, and that is the caller's decision.
package route

import (
	"fmt"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/glob"
)

// A Fault is told of a filter that failed while it was evaluated; the endpoint
// does not get that event.
type Fault func(e *hub.Endpoint, ev *hub.Event, err error)

// A Table holds the subscriptions. It never changes and is safe for concurrent use.
type Table struct {
	byType map[hub.EventType][]*entry
	fault  Fault
}

// An entry is one endpoint with its compiled filter.
type entry struct {
	endpoint *hub.Endpoint
	filter   *expr.Program // nil: everything
}

// New makes the table of endpoints. fault may be nil.
//
// An endpoint whose globs or filter are wrong is left out and named in the
// error, so that one bad row does not stop the others: the table is usable even
// if the error is not nil.
func New(endpoints []*hub.Endpoint, fault Fault) (*Table, error) {
	t := &Table{byType: map[hub.EventType][]*entry{}, fault: fault}
	var fields []hub.Field
	for _, e := range endpoints {
		filter, wrong := compile(e)
		if len(wrong) > 0 {
			for _, f := range wrong {
				f.Pointer = "/" + string(e.ID) + f.Pointer
				fields = append(fields, f)
			}
			continue
		}
		t.add(&entry{e, filter})
	}
	if len(fields) > 0 {
		return t, &hub.Error{Kind: hub.Invalid, Msg: "some endpoints cannot be routed to: " + fields[0].Pointer + ": " + fields[0].Detail, Fields: fields}
	}
	return t, nil
}

func (t *Table) add(e *entry) {
	for _, typ := range hub.EventTypes {
		for _, g := range e.endpoint.Events {
			if glob.Match(g, typ) {
				t.byType[typ] = append(t.byType[typ], e)
				break
			}
		}
	}
}

// Match gives the endpoints of the event's tenant that ev goes to, in the order
// they were given.
func (t *Table) Match(ev *hub.Event) []*hub.Endpoint {
	candidates := t.byType[ev.Type]
	if len(candidates) == 0 {
		return nil
	}
	var vars *expr.Vars
	matched := make([]*hub.Endpoint, 0, len(candidates))
	for _, e := range candidates {
		if e.endpoint.Tenant != ev.Tenant {
			continue
		}
		if e.filter != nil {
			if vars == nil {
				vars = &expr.Vars{Event: ev, Now: ev.Time}
			}
			if !t.wants(e, vars) {
				continue
			}
		}
		matched = append(matched, e.endpoint)
	}
	return matched
}

func (t *Table) wants(e *entry, vars *expr.Vars) bool {
	ok, err := e.filter.Test(vars)
	if err != nil && t.fault != nil {
		t.fault(e.endpoint, vars.Event, err)
	}
	return ok
}

// Check gives every fault of an endpoint's globs, filter and transform, for the
// answer to the one who sent them.
func Check(e *hub.Endpoint) []hub.Field {
	_, fields := compile(e)
	if e.Transform != "" {
		if _, err := expr.Compile(expr.Value, e.Transform); err != nil {
			fields = append(fields, hub.Field{Pointer: "/transform", Detail: err.Error()})
		}
	}
	return fields
}

// ValidateGlob reports why a glob can match no event.
func ValidateGlob(pattern string) error { return glob.Validate(pattern) }

func compile(e *hub.Endpoint) (filter *expr.Program, fields []hub.Field) {
	for i, g := range e.Events {
		if err := glob.Validate(g); err != nil {
			fields = append(fields, hub.Field{Pointer: fmt.Sprintf("/events/%d", i), Detail: err.Error()})
		}
	}
	if e.Filter == "" {
		return nil, fields
	}
	filter, err := expr.Compile(expr.Condition, e.Filter)
	if err != nil {
		fields = append(fields, hub.Field{Pointer: "/filter", Detail: err.Error()})
	}
	return filter, fields
}

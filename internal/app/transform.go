package app

import (
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// A transformer evaluates the expressions that give bodies, and keeps them
// compiled.
type transformer struct {
	mu       sync.Mutex // guards programs
	programs map[string]*expr.Program
}

// maxPrograms bounds what is kept; there is one for each endpoint that has one.
const maxPrograms = 1000

func newTransformer() *transformer { return &transformer{programs: map[string]*expr.Program{}} }

// body gives what an expression makes of an event.
func (t *transformer) body(expression string, event []byte) ([]byte, error) {
	p, err := t.program(expression)
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the endpoint's transform is no valid expression any more")
	}
	ev := new(hub.Event)
	if err := json.Unmarshal(event, ev); err != nil {
		return nil, hub.Wrap(hub.Internal, err, "the stored event cannot be read")
	}
	out, err := p.JSON(&expr.Vars{Event: ev, Now: ev.Time})
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the endpoint's transform failed for this event: "+err.Error())
	}
	return out, nil
}

func (t *transformer) program(expression string) (*expr.Program, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.programs[expression]; p != nil {
		return p, nil
	}
	p, err := expr.Compile(expr.Value, expression)
	if err != nil {
		return nil, err
	}
	if len(t.programs) >= maxPrograms {
		clear(t.programs)
	}
	t.programs[expression] = p
	return p, nil
}

// Package template renders the texts that people write for their channels: Go
// templates over the event and its alert.
//
// They are written by people who may change a channel, not by who runs the hub,
// so they can do nothing but make text: no other templates, no methods, functions
// of ours only, and bounds for time ([Deadline]), for steps of loops ([MaxSteps])
// and for size ([MaxOutput]). A template that fails for an event gives nothing,
// and the built-in text is used: no alert is lost for want of a title.
//
// [Check] finds what is wrong before: it renders a template for an event of each
// type, and tells of names that do not exist.
package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Bounds of a template.
const (
	MaxSource = 8 << 10  // bytes
	MaxOutput = 32 << 10 // bytes; what is longer is cut off
	MaxSteps  = 10_000   // of all its loops together
	Deadline  = time.Second

	maxText  = 64 << 10 // of what a function gives
	maxCache = 1000     // compiled templates
)

// Names gives the texts of a kind of endpoint that templates can give.
func Names(kind string) []string {
	switch kind {
	case hub.KindEmail:
		return []string{"subject", "title", "body"}
	case hub.KindSlack:
		return []string{"text"}
	case hub.KindPagerDuty:
		return []string{"summary"}
	}
	return nil
}

// A Renderer renders endpoints' templates. It may be used by any number of
// goroutines.
type Renderer struct {
	// Link gives the address where people see an object; it may be nil.
	Link func(subject string) string
	// Failed is told of a template that failed for an event; it may be nil.
	Failed func(e *hub.Endpoint, name string, ev *hub.Event, err error)

	mu    sync.RWMutex // guards cache
	cache map[string]*template.Template
}

// Text gives the endpoint's own text with a name for an event; "" if it has none,
// or if that failed.
func (r *Renderer) Text(e *hub.Endpoint, name string, d *hub.Delivery, ev *hub.Event) string {
	source := e.Templates[name]
	if source == "" {
		return ""
	}
	t, err := r.compiled(source)
	if err == nil {
		var text string
		if text, err = render(t, data(ev, d, r.Link)); err == nil {
			return text
		}
	}
	if r.Failed != nil {
		r.Failed(e, name, ev, err)
	}
	return ""
}

func (r *Renderer) compiled(source string) (*template.Template, error) {
	r.mu.RLock()
	t := r.cache[source]
	r.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := compile(source, "missingkey=zero")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cache == nil || len(r.cache) >= maxCache {
		r.cache = map[string]*template.Template{}
	}
	r.cache[source] = t
	return t, nil
}

// compile parses a template and bounds its loops.
func compile(source, missing string) (*template.Template, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("has %d bytes, of at most %d", len(source), MaxSource)
	}
	t, err := template.New("").Option(missing).Funcs(functions()).Parse(source)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 {
		return nil, errors.New("defines another template; write the text in one")
	}
	if t.Tree == nil {
		return t, nil
	}
	tick, err := template.New("").Funcs(functions()).Parse("{{" + tickName + " $}}")
	if err != nil {
		return nil, err
	}
	return t, bound(t.Root, tick.Root.Nodes[0])
}

// bound puts a step into each loop, and refuses what calls other templates.
func bound(n parse.Node, tick parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, inner := range n.Nodes {
			if err := bound(inner, tick); err != nil {
				return err
			}
		}
	case *parse.RangeNode:
		n.List.Nodes = append([]parse.Node{tick.Copy()}, n.List.Nodes...)
		return errors.Join(bound(n.List, tick), bound(n.ElseList, tick))
	case *parse.IfNode:
		return errors.Join(bound(n.List, tick), bound(n.ElseList, tick))
	case *parse.WithNode:
		return errors.Join(bound(n.List, tick), bound(n.ElseList, tick))
	case *parse.TemplateNode:
		return errors.New("calls another template; write the text in one")
	}
	return nil
}

// budgetKey is where a template's data hold its budget.
const budgetKey = ""

// A budget is what is left to one execution.
type budget struct {
	steps int
	until time.Time
}

// String is empty, so that a loop over all data shows nothing of it.
func (*budget) String() string { return "" }

// tick takes a step of the budget in the data.
func tick(root any) (string, error) {
	d, _ := root.(map[string]any)
	b, ok := d[budgetKey].(*budget)
	if !ok {
		return "", errors.New("$ stands for all data; use another name")
	}
	if b.steps--; b.steps < 0 || time.Now().After(b.until) {
		return "", errors.New("takes too long; loop over less")
	}
	return "", nil
}

// errFull ends a template whose text is long enough.
var errFull = errors.New("full")

// A page takes up to MaxOutput bytes.
type page struct{ strings.Builder }

func (p *page) Write(b []byte) (int, error) {
	if room := MaxOutput - p.Len(); len(b) > room {
		_, _ = p.Builder.Write(b[:room])
		return room, errFull
	}
	return p.Builder.Write(b)
}

// render executes a template over data.
func render(t *template.Template, data map[string]any) (text string, err error) {
	defer func() {
		if r := recover(); r != nil { // a function of the library met what it cannot do
			text, err = "", fmt.Errorf("%v", r)
		}
	}()
	data[budgetKey] = &budget{steps: MaxSteps, until: time.Now().Add(Deadline)}
	var p page
	if err := t.Execute(&p, data); err != nil && !errors.Is(err, errFull) {
		return "", err
	}
	return strings.ReplaceAll(strings.ToValidUTF8(p.String(), ""), "<no value>", ""), nil
}

// Check gives everything that is wrong with the templates of a kind of endpoint:
// each is rendered for events of every type.
func Check(kind string, templates map[string]string) (fields []hub.Field) {
	known := Names(kind)
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		at := "/templates/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		switch {
		case len(known) == 0:
			fields = append(fields, hub.Field{Pointer: at, Detail: "an endpoint of kind " + kind + " has no texts"})
		case !slices.Contains(known, name):
			fields = append(fields, hub.Field{Pointer: at, Detail: "an endpoint of kind " + kind + " has no such text; it has " + strings.Join(known, ", ")})
		default:
			if err := try(templates[name]); err != nil {
				fields = append(fields, hub.Field{Pointer: at, Detail: plain(err)})
			}
		}
	}
	return fields
}

// try renders a template for an event of each type, with names that do not exist
// being an error.
func try(source string) error {
	t, err := compile(source, "missingkey=error")
	if err != nil {
		return err
	}
	loose, until := paths(t), time.Now().Add(2*Deadline)
	for _, ev := range samples() {
		d := data(ev, &hub.Delivery{Params: sampleParams}, nil)
		fill(d, loose)
		if _, err := render(t, d); err != nil {
			return fmt.Errorf("for %s: %w", ev.Type, err)
		}
		if time.Now().After(until) {
			return errors.New("takes too long; loop over less")
		}
	}
	return nil
}

// plain says what the library says, for people.
func plain(err error) string {
	var b strings.Builder
	for i, part := range strings.Split(err.Error(), "template: ") {
		if i > 0 { // ":1:12: executing "" at <.alert.titel>: …"
			part = "line " + strings.TrimPrefix(part, ":")
		}
		b.WriteString(part)
	}
	return strings.NewReplacer(`executing "" at `, "", "map has no entry for key", "there is no").Replace(b.String())
}

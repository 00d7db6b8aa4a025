package configs

import (
	"errors"
	"maps"
	"reflect"
	"time"
)

// A Connector is an entry of the section connectors. All but its name and kind
// belongs to the package of that kind.
type Connector struct {
	Name string `yaml:"name" doc:"Unique; findings carry it as their source. 1 to 63 of a-z, 0-9, - and _."`
	Kind string `yaml:"kind" doc:"What the source system is."`

	Tenant   string        `yaml:"tenant" doc:"Whose findings they are. Empty for default."`
	Interval time.Duration `yaml:"interval" min:"5s" max:"24h" doc:"From the end of one pull to the start of the next. Empty for a minute."`
	Paused   bool          `yaml:"paused" doc:"Start without pulling."`
	Mirror   *bool         `yaml:"mirror" doc:"Tell the source system when its findings are acknowledged, resolved, dismissed or reopened here, if it has a call for that. Empty for true."`

	Raw Raw `yaml:"-"`
}

// Raw is a piece of the file that its owner reads, references replaced.
type Raw struct {
	path   string
	node   *node
	folder string
	places map[string]place
}

// Path is where the piece stands, such as connectors[0].
func (r Raw) Path() string { return r.path }

// Decode reads the whole piece into a struct, whose fields are named by yaml
// tags and may hold defaults. It is as strict as the rest of the configuration:
// a key that the struct does not have is a problem, and so is a value that does
// not fit its type. Durations (time.Duration, hub.Duration), sizes, networks,
// secrets and every type with UnmarshalText are written as text; a field of type
// any takes what is there. The tags min, max and enum bound a value, and
// path:"beside" takes a relative path from the folder of the file. The error is
// of type [Problems].
func (r Raw) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return errors.New("configs: decode into something that is no pointer")
	}
	if r.node == nil {
		return nil
	}
	l := &loader{folder: r.folder, places: maps.Clone(r.places), bad: map[string]bool{}}
	l.decode(r.node, v.Elem(), r.path, field{})
	l.problems.Sort()
	return l.problems.Err()
}

// decodeConnector reads what all connectors have and leaves the rest alone.
func (l *loader) decodeConnector(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		l.fault(n.at, path, "must be keys with values, one \"key: value\" a line")
		return
	}
	c := Connector{Raw: Raw{path: path, node: n, folder: l.folder, places: l.places}}
	for _, f := range fieldsOf(v.Type()) {
		if value := n.get(f.name); value != nil {
			l.decode(value, reflect.ValueOf(&c).Elem().FieldByIndex(f.index), join(path, f.name), f)
		}
	}
	v.Set(reflect.ValueOf(c))
}

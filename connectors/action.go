package connectors

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// An ActionSpec describes one action as data: the API lists it, playbooks are
// checked against it when they are loaded, [Fleet.Do] before each call.
type ActionSpec struct {
	Name   string      `json:"name"` // kind.verb, such as cybervault.submit_finding
	Doc    string      `json:"doc"`
	Params []ParamSpec `json:"params"`
}

// A ParamSpec is one parameter of an action.
type ParamSpec struct {
	Name     string    `json:"name"`
	Type     ParamType `json:"type"`
	Required bool      `json:"required,omitempty"`
	Enum     []string  `json:"enum,omitempty"` // of a string
	Doc      string    `json:"doc,omitempty"`
}

// A ParamType is a JSON type.
type ParamType string

// Types of a parameter.
const (
	ParamString  ParamType = "string"
	ParamNumber  ParamType = "number"
	ParamBoolean ParamType = "boolean"
	ParamObject  ParamType = "object"
	ParamArray   ParamType = "array"
)

var paramKinds = map[ParamType]string{
	ParamString: `"`, ParamNumber: "0", ParamBoolean: "tf", ParamObject: "{", ParamArray: "[",
}

// Check says whether params suit the action: an error of kind Invalid names
// every fault by its place.
func (a ActionSpec) Check(params jsontext.Value) error {
	given := map[string]jsontext.Value{}
	if len(params) > 0 {
		if err := json.Unmarshal(params, &given); err != nil {
			return hub.Wrap(hub.Malformed, err, a.Name+" wants its parameters as a JSON object")
		}
	}
	var faults []hub.Field
	for _, p := range a.Params {
		if detail := p.fault(given[p.Name]); detail != "" {
			faults = append(faults, hub.Field{Pointer: "/" + p.Name, Detail: detail})
		}
		delete(given, p.Name)
	}
	for name := range given {
		faults = append(faults, hub.Field{Pointer: "/" + name, Detail: "is no parameter of " + a.Name})
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b hub.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
	err := hub.E(hub.Invalid, fmt.Sprintf("%s cannot run: %s %s", a.Name, faults[0].Pointer, faults[0].Detail))
	err.Fields = faults
	return err
}

func (p ParamSpec) fault(v jsontext.Value) string {
	if len(v) == 0 || v.Kind() == 'n' {
		if p.Required {
			return "is required"
		}
		return ""
	}
	if !strings.ContainsRune(paramKinds[p.Type], rune(v.Kind())) {
		return "must be a JSON " + string(p.Type)
	}
	if len(p.Enum) == 0 {
		return ""
	}
	var text string
	if json.Unmarshal(v, &text) != nil || !slices.Contains(p.Enum, text) {
		return "must be one of " + strings.Join(p.Enum, ", ")
	}
	return ""
}

package connectors

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// An Endpoint is an action that is one call of a vendor's API.
type Endpoint struct {
	ActionSpec
	Method string
	Path   string   // with parameters in braces: /accounts/{account_id}/scan
	Query  []string // parameters that go into the query; those that are in neither go into a JSON body

	// Check says what else is wrong with the parameters; nil checks nothing.
	Check func(params map[string]jsontext.Value) error
}

// Specs gives the specs of endpoints.
func Specs(endpoints []Endpoint) []ActionSpec {
	specs := make([]ActionSpec, len(endpoints))
	for i, e := range endpoints {
		specs[i] = e.ActionSpec
	}
	return specs
}

// CallOf makes the call of an action for params, which were checked against its
// spec.
func CallOf(endpoints []Endpoint, action string, params jsontext.Value) (Call, error) {
	i := slices.IndexFunc(endpoints, func(e Endpoint) bool { return e.Name == action })
	if i < 0 {
		return Call{}, hub.E(hub.Invalid, "there is no action "+action)
	}
	return endpoints[i].Call(params)
}

// Call makes the call for params, which were checked against the spec.
func (e Endpoint) Call(params jsontext.Value) (Call, error) {
	given := map[string]jsontext.Value{}
	if len(params) > 0 {
		if err := json.Unmarshal(params, &given); err != nil {
			return Call{}, hub.Wrap(hub.Invalid, err, e.Name+" wants its parameters as a JSON object")
		}
	}
	if e.Check != nil {
		if err := e.Check(given); err != nil {
			return Call{}, err
		}
	}
	c := Call{Method: e.Method, Path: e.Path, Urgent: true, Query: url.Values{}}
	var body bytes.Buffer
	for _, p := range e.Params {
		v, there := given[p.Name]
		if !there || v.Kind() == 'n' {
			continue
		}
		place := "{" + p.Name + "}"
		switch {
		case strings.Contains(e.Path, place):
			id := Text(v)
			if !plainID(id) {
				return Call{}, hub.E(hub.Invalid, "/"+p.Name+" is not an id: want letters, digits and . _ : @ -")
			}
			c.Path = strings.ReplaceAll(c.Path, place, url.PathEscape(id))
		case slices.Contains(e.Query, p.Name):
			c.Query.Set(p.Name, Text(v))
		default:
			body.WriteString(`,"` + p.Name + `":`)
			body.Write(v)
		}
	}
	if e.Method != "GET" && e.Method != "DELETE" && body.Len() > 0 {
		c.Body = append([]byte("{"), append(body.Bytes()[1:], '}')...)
	}
	return c, nil
}

// plainID keeps a parameter from leading to another path.
func plainID(id string) bool {
	for _, r := range id {
		if !strings.ContainsRune("._:@-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return id != "" && strings.Trim(id, ".") != "" && len(id) <= 256
}

// Text gives a JSON text's content, and other values as they stand.
func Text(v jsontext.Value) string {
	if v.Kind() == '"' {
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	}
	return string(v)
}

// Result gives an answer's body as an action's result, null if it is no JSON.
func (a Answer) Result() jsontext.Value {
	v := jsontext.Value(bytes.Clone(a.Body))
	if len(v) == 0 || !v.IsValid() {
		return nil
	}
	return v
}

package playbook

import "github.com/go-json-experiment/json"

// unmarshalStrict reads JSON and refuses members that the target does not have.
func unmarshalStrict(b []byte, into any) error {
	return json.Unmarshal(b, into, json.RejectUnknownMembers(true))
}

package ops

import (
	"errors"
	"strings"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/playbook"
)

// Catalogue is what steps of playbooks may use: the hub's own actions and those
// of the connectors, each as <connector>.<verb>, and as <kind>.<verb> for the
// first connector of its kind.
func Catalogue(own []connectors.NamedAction) (playbook.Actions, error) {
	more := playbook.Actions{}
	for _, a := range own {
		action := playbook.ConnectorAction(a.Connector, a.Name, a.Doc, paramsOf(a.Params))
		if more[a.Name] == nil {
			more[a.Name] = action
		}
		_, verb, _ := strings.Cut(a.Name, ".")
		more[a.Connector+"."+verb] = action
	}
	return playbook.Builtin().Merge(more)
}

func paramsOf(specs []connectors.ParamSpec) map[string]playbook.Param {
	params := map[string]playbook.Param{}
	for _, p := range specs {
		params[p.Name] = playbook.Param{Type: typeOf(p.Type), Required: p.Required, OneOf: p.Enum, Doc: p.Doc}
	}
	return params
}

func typeOf(t connectors.ParamType) playbook.Type {
	switch t {
	case connectors.ParamNumber:
		return playbook.Number
	case connectors.ParamBoolean:
		return playbook.Bool
	case connectors.ParamObject:
		return playbook.Object
	case connectors.ParamArray:
		return playbook.List
	}
	return playbook.Text
}

// catalogueOf opens connectors only to see what they offer.
func catalogueOf(entries []connectors.Entry) (playbook.Actions, error) {
	fleet, err := openFleet(entries)
	if err != nil {
		return nil, err
	}
	actions, err := Catalogue(fleet.Actions(hub.DefaultTenant))
	return actions, errors.Join(err, fleet.Close())
}

// TestPlaybooks runs the test cases that stand beside the playbooks in paths.
// With a configuration, playbooks may use the actions of its connectors, and
// its own paths are taken if no others are given.
func TestPlaybooks(config string, environ, paths []string) (playbook.Report, error) {
	actions := playbook.Builtin()
	if config != "" {
		cfg, err := configs.Load(config, environ)
		if err != nil {
			return playbook.Report{}, err
		}
		if actions, err = catalogueOf(entriesOf(cfg)); err != nil {
			return playbook.Report{}, err
		}
		if len(paths) == 0 {
			paths = cfg.Playbooks.Paths
		}
	}
	if len(paths) == 0 {
		return playbook.Report{}, &UsageError{"name files or folders of playbooks, or a configuration with --config"}
	}
	return playbook.RunCases(actions, paths...)
}

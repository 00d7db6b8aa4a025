package app

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines"
)

// mirrors gives, for each connector whose source system is told what becomes of
// its findings here, how that is done: by the actions that playbooks use too, as
// deliveries to the same endpoint.
func mirrors(fleet *connectors.Fleet) map[string]pipelines.Mirror {
	all := map[string]pipelines.Mirror{}
	for _, c := range fleet.All() {
		if !c.Mirrors {
			continue
		}
		tenant, name := c.Tenant, c.Name
		all[string(tenant)+"/"+name] = pipelines.Mirror{
			Endpoint: connectorEndpoint(tenant, name),
			Action: func(change hub.EventType, sourceID string) (string, jsontext.Value) {
				return fleet.Mirror(tenant, name, change, sourceID)
			},
		}
	}
	return all
}

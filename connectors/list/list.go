// Package list names every kind of connector. It is the one place that a new
// connector is added to, and the only package under connectors that imports
// its neighbours; internal/app and the documentation read it.
package list

import (
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/alertmanager"
	"github.com/tocsin/tocsin/connectors/cef"
	"github.com/tocsin/tocsin/connectors/cloudevents"
	"github.com/tocsin/tocsin/connectors/cloudoptix"
	"github.com/tocsin/tocsin/connectors/cybervault"
	"github.com/tocsin/tocsin/connectors/echelongraph"
	"github.com/tocsin/tocsin/connectors/edgetelemetry"
	"github.com/tocsin/tocsin/connectors/elasticsearch"
	"github.com/tocsin/tocsin/connectors/falco"
	"github.com/tocsin/tocsin/connectors/guardduty"
	"github.com/tocsin/tocsin/connectors/ocsf"
	"github.com/tocsin/tocsin/connectors/sarif"
	"github.com/tocsin/tocsin/connectors/securityhub"
	splunkhec "github.com/tocsin/tocsin/connectors/splunk_hec"
	"github.com/tocsin/tocsin/connectors/suricata"
	"github.com/tocsin/tocsin/connectors/syslog"
	"github.com/tocsin/tocsin/connectors/trivy"
	"github.com/tocsin/tocsin/connectors/vigilare"
	"github.com/tocsin/tocsin/connectors/wazuh"
	"github.com/tocsin/tocsin/connectors/webhook"
)

// Kinds gives every kind of connector, by name.
func Kinds() []connectors.Kind {
	return []connectors.Kind{
		alertmanager.Kind(),
		cef.Kind(),
		cloudevents.Kind(),
		cloudoptix.Kind(),
		cybervault.Kind(),
		echelongraph.Kind(),
		edgetelemetry.Kind(),
		elasticsearch.Kind(),
		falco.Kind(),
		guardduty.Kind(),
		ocsf.Kind(),
		sarif.Kind(),
		securityhub.Kind(),
		splunkhec.Kind(),
		suricata.Kind(),
		syslog.Kind(),
		trivy.Kind(),
		vigilare.Kind(),
		wazuh.Kind(),
		webhook.Kind(),
	}
}

// Package guardduty takes findings of Amazon GuardDuty: from EventBridge
// ("GuardDuty Finding"), or as the API lists them.
//
// GuardDuty keeps one finding while the same goes on, and sends it again with a
// higher count; it is known by account, region and id. A finding that is
// archived ends.
package guardduty

import (
	_ "embed"
	"io"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "guardduty",
		Doc:    "Amazon GuardDuty: receives findings from EventBridge or as the API lists them",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return connectors.OpenPush(s, read) },
		Format: &connectors.Format{Doc: "GuardDuty findings, as EventBridge or aws guardduty get-findings gives them", Read: read, Looks: looks},
	}
}

func looks(start []byte) bool {
	return inbound.HasNames(start, "detail-type", "aws.guardduty") || inbound.HasNames(start, "AccountId", "ResourceType") || inbound.HasNames(start, "accountId", "resourceType")
}

// read takes EventBridge events, {"Findings": […]}, an array, or one finding.
func read(r io.Reader) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{Lists: []string{"Findings", "findings"}, Wraps: []string{"detail"}}, finding)
}

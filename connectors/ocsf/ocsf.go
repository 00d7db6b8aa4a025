// Package ocsf takes findings in the Open Cybersecurity Schema Framework,
// versions 1.0 to 1.5: the classes of category 2, from security findings (2001)
// to IAM analysis findings (2008).
//
// A finding is known by the product that made it and its uid there, an incident
// by its own. It ends when its activity is Close or its status says so, and a
// check that passes ends it too.
package ocsf

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
		Name:   "ocsf",
		Doc:    "OCSF findings (Amazon Security Lake, Security Hub, Prowler and others): classes 2001 to 2008",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return connectors.OpenPush(s, read) },
		Format: &connectors.Format{Doc: "OCSF finding events, in an array or one a line", Extensions: []string{".ocsf"}, Read: read, Looks: looks},
	}
}

func looks(start []byte) bool {
	return inbound.HasNames(start, "class_uid", "metadata") || inbound.HasNames(start, "class_uid", "finding_info")
}

// read takes events in an array, a line each, or in what EventBridge puts around
// those of Security Hub.
func read(r io.Reader) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{Lists: []string{"findings", "Findings"}, Wraps: []string{"detail"}}, finding)
}

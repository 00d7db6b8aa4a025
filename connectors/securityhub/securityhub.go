// Package securityhub takes findings in the AWS Security Finding Format: from
// EventBridge ("Security Hub Findings - Imported"), as BatchImportFindings and
// GetFindings have them, or one by one.
//
// A finding is known by its ProductArn and Id, and its version by UpdatedAt. It
// ends when its record is archived, its workflow is resolved or suppressed, or
// its control passes.
package securityhub

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
		Name:   "securityhub",
		Doc:    "AWS Security Hub: receives findings in ASFF, from EventBridge or as they are imported",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return connectors.OpenPush(s, read) },
		Format: &connectors.Format{Doc: "AWS Security Finding Format: findings, or an object with a list of them", Extensions: []string{".asff"}, Read: read, Looks: looks},
	}
}

func looks(start []byte) bool { return inbound.HasNames(start, "ProductArn") }

// read takes {"Findings": […]}, an EventBridge event, an array, one finding, or
// any of these a line.
func read(r io.Reader) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{Lists: []string{"Findings", "findings"}, Wraps: []string{"detail"}}, finding)
}

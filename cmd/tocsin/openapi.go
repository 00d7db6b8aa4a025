package main

import "github.com/tocsin/tocsin/internal/ops"

type openapiCmd struct{}

// Help gives an example.
func (openapiCmd) Help() string {
	return `A running hub serves the same document at /api/v1/openapi.json.

Example:
  tocsin openapi > openapi.json`
}

// Run prints the document.
func (openapiCmd) Run(p *program) error {
	doc, err := ops.OpenAPI(programVersion())
	if err != nil {
		return err
	}
	return p.raw(doc)
}

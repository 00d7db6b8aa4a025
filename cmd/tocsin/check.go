package main

import (
	"fmt"

	"github.com/tocsin/tocsin/internal/ops"
)

type checkCmd struct {
	File string `arg:"" help:"Configuration file."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (checkCmd) Help() string {
	return `Reads the file as serve would, with the same environment, and all that it refers to: secrets, expressions, playbooks, the settings of connectors. Tells every problem at once. Makes no connection.

Example:
  tocsin check tocsin.yaml`
}

// Run checks a configuration.
func (c *checkCmd) Run(p *program) error {
	report, err := ops.Check(c.File, p.environ)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = p.json(report)
	case report.OK:
		_, err = fmt.Fprintln(p.stdout, report)
	default:
		fmt.Fprintln(p.stdout, report)
		fmt.Fprintf(p.stderr, "tocsin: %d problems in the configuration; mend them and check again\n", len(report.Problems))
	}
	if err == nil && !report.OK {
		return exit(exitFailure)
	}
	return err
}

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/internal/app"
)

type elasticCmd struct {
	Setup elasticSetupCmd `cmd:"" help:"Install templates, pipeline and lifecycle."`
}

// Help gives an example.
func (elasticCmd) Help() string {
	return `Example:
  tocsin elastic setup --config tocsin.yaml --print`
}

type elasticSetupCmd struct {
	Name   string `arg:"" optional:"" help:"Endpoint of kind elasticsearch; all of them if not given."`
	Config string `placeholder:"FILE" help:"Configuration file with the endpoints and their credentials."`
	Print  bool   `help:"Print the requests, which can be pasted into Kibana's console, in place of making them."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help gives an example.
func (elasticSetupCmd) Help() string {
	return `For clusters whose credentials of the hub may not install templates (setup: false): run it with credentials that may. It may be repeated; component templates named …@custom are never touched.

Examples:
  tocsin elastic setup --print
  tocsin elastic setup --config tocsin.yaml siem`
}

// Run installs, or prints.
func (c *elasticSetupCmd) Run(ctx context.Context, p *program) error {
	done, err := app.SetupElastic(ctx, app.ElasticSetup{
		Config: c.Config, Name: c.Name, Environ: p.environ, Version: programVersion(), Print: c.Print, Out: p.stdout,
	})
	switch {
	case err != nil || c.Print:
		return err
	case c.JSON:
		return p.json(map[string]any{"installed": done})
	}
	_, err = fmt.Fprintf(p.stdout, "installed templates, pipeline and lifecycle for %s\n", strings.Join(done, ", "))
	return err
}

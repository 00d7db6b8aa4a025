package main

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/internal/demo"
)

type demoCmd struct {
	For    time.Duration `placeholder:"DURATION" help:"How long findings keep coming, such as 30s; until interrupted if not given."`
	Once   bool          `help:"End when all input has been delivered, and fail if anything is wrong."`
	Listen string        `placeholder:"ADDR" help:"Address of the hub; a free port on loopback if not given."`
	JSON   bool          `name:"json" help:"Print one JSON object at the end, and no progress."`
}

// Help gives an example.
func (demoCmd) Help() string {
	return `Needs nothing installed and leaves nothing behind.

Examples:
  tocsin demo
  tocsin demo --for 30s
  tocsin demo --once --json`
}

// Run runs the demo.
func (c *demoCmd) Run(ctx context.Context, p *program) error {
	return demo.Run(ctx, demo.Options{
		For: c.For, Once: c.Once, Listen: c.Listen, JSON: c.JSON, Out: p.stdout, Err: p.stderr, Version: programVersion(),
	})
}

package main

import (
	"context"

	"github.com/tocsin/tocsin/internal/app"
)

type serveCmd struct {
	Config string `placeholder:"FILE" help:"Configuration file. Without one the hub keeps everything under ./tocsin-data."`
	Data   string `placeholder:"DIR" help:"Folder for everything that is kept; in place of store.dir."`
	Listen string `placeholder:"ADDR" help:"Address to serve on; in place of server.listen, 127.0.0.1:8080."`
}

// Help gives an example.
func (serveCmd) Help() string {
	return `Runs until SIGTERM or SIGINT, then stops cleanly. The first start makes an owner and an API key and tells them once.

Examples:
  tocsin serve
  tocsin serve --config /etc/tocsin/tocsin.yaml --listen 0.0.0.0:8080`
}

// Run runs the hub.
func (c *serveCmd) Run(ctx context.Context, p *program) error {
	return app.Main(ctx, app.ServeOptions{
		Config: c.Config, Data: c.Data, Listen: c.Listen, Version: programVersion(), Stderr: p.stderr, Environ: p.environ,
	})
}

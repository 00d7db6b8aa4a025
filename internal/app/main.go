package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/tocsin/tocsin/configs"
)

// ServeOptions are what `tocsin serve` was told.
type ServeOptions struct {
	Config  string // file, or ""
	Data    string // folder in place of store.dir, or ""
	Listen  string // address in place of server.listen, or ""
	Version string
	Stderr  io.Writer
	Environ []string // as os.Environ gives it
}

// Main runs a hub until ctx ends or a part of it fails.
func Main(ctx context.Context, o ServeOptions) error {
	cfg, err := LoadConfig(o)
	if err != nil {
		return err
	}
	log := NewLogger(o.Stderr, &cfg.Log)
	a, err := New(ctx, Options{Config: cfg, Version: o.Version, Log: log, Env: lookup(o.Environ), Out: o.Stderr})
	if err != nil {
		return err
	}
	err = a.Start(ctx)
	if err == nil {
		log.Info("tocsin serves", "address", "http://"+a.Addr(), "data", cfg.Store.Dir, "version", o.Version)
		select {
		case <-ctx.Done():
			log.Info("stopping")
			a.drain()
		case err = <-a.Failed():
			log.Error("a part of the hub failed; stopping", "error", err)
		}
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.Server.ShutdownTimeout)
	defer cancel()
	if stopErr := a.Stop(stop); stopErr != nil {
		log.Error("the stop was not clean; nothing accepted is lost", "error", stopErr)
	}
	return err
}

// LoadConfig reads the configuration: flags win over the environment, and that
// over the file.
func LoadConfig(o ServeOptions) (*configs.Config, error) {
	environ := o.Environ
	if o.Data != "" {
		environ = append(environ[:len(environ):len(environ)], "TOCSIN_STORE_DIR="+o.Data)
	}
	if o.Listen != "" {
		environ = append(environ[:len(environ):len(environ)], "TOCSIN_SERVER_LISTEN="+o.Listen)
	}
	cfg, err := configs.Load(o.Config, environ)
	if err != nil {
		return nil, fmt.Errorf("the configuration has problems; mend them and start again:\n%w", err)
	}
	return cfg, nil
}

// lookup finds variables in an environment; of one that is there twice the last
// counts.
func lookup(environ []string) func(string) string {
	vars := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		vars[name] = value
	}
	return func(name string) string { return vars[name] }
}

// NewLogger makes the program's logger as configured.
func NewLogger(w io.Writer, c *configs.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Slog()}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

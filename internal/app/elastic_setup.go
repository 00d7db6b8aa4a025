package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay/elastic"
)

// ElasticSetup says what `tocsin elastic setup` installs, and where.
type ElasticSetup struct {
	Config  string // file
	Name    string // of an endpoint; "" for every one of kind elasticsearch
	Environ []string
	Version string
	// Print writes the requests to Out in place of making them. Without a config
	// they are those of an endpoint that says nothing.
	Print bool
	Out   io.Writer
}

// SetupElastic installs templates, pipeline and lifecycle for the endpoints of a
// configuration, and gives the names of those it was done for.
func SetupElastic(ctx context.Context, o ElasticSetup) ([]string, error) {
	if o.Print && o.Config == "" {
		return nil, elastic.Print(o.Out, elastic.Settings{})
	}
	cfg, err := LoadConfig(ServeOptions{Config: o.Config, Environ: o.Environ})
	if err != nil {
		return nil, err
	}
	var done []string
	for i := range cfg.Endpoints {
		e := cfg.Endpoints[i].Hub()
		if e.Kind != hub.KindElastic || o.Name != "" && e.Name != o.Name {
			continue
		}
		if err := setupOne(ctx, &e, cfg, o); err != nil {
			return done, fmt.Errorf("endpoint %s: %w", e.Name, err)
		}
		done = append(done, e.Name)
	}
	switch {
	case len(done) > 0:
		return done, nil
	case o.Name != "":
		return nil, fmt.Errorf("the configuration has no endpoint %q of kind elasticsearch", o.Name)
	}
	return nil, errors.New("the configuration has no endpoint of kind elasticsearch; name the file with --config, or use --print")
}

func setupOne(ctx context.Context, e *hub.Endpoint, cfg *configs.Config, o ElasticSetup) error {
	s := ElasticSettings(e, cfg.Server.BaseURL())
	if o.Print {
		fmt.Fprintf(o.Out, "# %s, %s\n\n", e.Name, e.URL)
		return elastic.Print(o.Out, s)
	}
	client, err := outbound(cfg, o.Version, nil)
	if err != nil {
		return err
	}
	sink, err := elastic.New(s, elastic.Deps{Client: client.HTTP()})
	if err == nil {
		err = sink.Setup(ctx)
	}
	var he *hub.Error
	if errors.As(err, &he) && he.Err != nil { // people here may see what is behind it
		return fmt.Errorf("%s (%w)", he.Msg, he.Err)
	}
	return err
}

// outbound makes the one client by which the hub reaches far sides.
func outbound(cfg *configs.Config, version string, r safehttp.Resolver) (*safehttp.Client, error) {
	out := safehttp.Options{
		Allow: cfg.Relay.AllowNetworks, Timeout: cfg.Relay.Timeout, UserAgent: cfg.Relay.UserAgent + "/" + version, Resolver: r,
	}
	if text := cfg.Relay.Proxy.Reveal(); text != "" {
		proxy, err := url.Parse(text)
		if err != nil { // the loader checked it
			return nil, errors.New("relay.proxy is not a URL")
		}
		out.Proxy = proxy
	}
	return safehttp.New(out), nil
}

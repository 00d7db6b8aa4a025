package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

type healthCmd struct {
	URL     string        `env:"TOCSIN_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the hub."`
	Ready   bool          `help:"Ask whether it takes findings, not only whether it is alive."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Help gives an example.
func (healthCmd) Help() string {
	return `For container engines and scripts: exits 0 if all is well, 1 if not.

Example:
  tocsin health --ready --url http://127.0.0.1:8080`
}

// Run asks the hub.
func (c *healthCmd) Run(ctx context.Context, p *program) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	path := "/health"
	if c.Ready {
		path = "/ready"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.URL, "/")+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the hub does not answer (%w); look at its log", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New("the hub answers " + res.Status + "; GET " + path + " says why")
	}
	_, err = fmt.Fprintln(p.stdout, "ok")
	return err
}

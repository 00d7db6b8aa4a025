package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type connectorsCmd struct {
	List   connectorsListCmd   `cmd:"" help:"List the sources and how they do."`
	Sync   connectorsSyncCmd   `cmd:"" help:"Pull now."`
	Pause  connectorsPauseCmd  `cmd:"" help:"Stop pulling, also after a restart."`
	Resume connectorsResumeCmd `cmd:"" help:"Go on pulling."`
	Test   connectorsTestCmd   `cmd:"" help:"Make one harmless call to the source system."`
}

// Help gives an example.
func (connectorsCmd) Help() string {
	return `Examples:
  tocsin connectors list
  tocsin connectors sync cybervault`
}

// A connector is how the API shows a source.
type connector struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	State       string    `json:"state"`
	LastSuccess time.Time `json:"last_success"`
	NextAttempt time.Time `json:"next_attempt"`
	Lag         *float64  `json:"lag_seconds"`
	LastError   *struct {
		Error  string `json:"error"`
		Advice string `json:"advice"`
	} `json:"last_error"`
	Counts map[string]int64 `json:"counts"`
}

func (c *connector) lag() string {
	if c.Lag == nil {
		return "-"
	}
	return time.Duration(*c.Lag * float64(time.Second)).Round(time.Second).String()
}

func (c *connector) fault() string {
	if c.LastError == nil {
		return "-"
	}
	if c.LastError.Advice != "" {
		return c.LastError.Error + "; " + c.LastError.Advice
	}
	return c.LastError.Error
}

type connectorsListCmd struct{ apiFlags }

// Help gives an example.
func (connectorsListCmd) Help() string {
	return `Example:
  tocsin connectors list --json`
}

// Run lists connectors.
func (c *connectorsListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"NAME", "KIND", "STATE", "LAST SUCCESS", "NEXT", "LAG", "FINDINGS", "ERRORS", "LAST ERROR"}
	return list(ctx, p, &c.apiFlags, "/connectors", filters(), pageFlags{All: true, Limit: maxPage}, header, func(x *connector) []string {
		findings := x.Counts["findings_pulled"] + x.Counts["findings_received"]
		return []string{
			x.Name, x.Kind, x.State, clock(x.LastSuccess), clock(x.NextAttempt), x.lag(), strconv.FormatInt(findings, 10),
			strconv.FormatInt(x.Counts["errors"], 10), x.fault(),
		}
	})
}

// connectorsAct are what the commands that steer connectors take.
type connectorsAct struct {
	apiFlags
	Names []string `arg:"" name:"name" help:"Names of connectors."`
}

func (c *connectorsAct) do(ctx context.Context, p *program, action, done string) error {
	return c.each(ctx, p, c.Names, http.MethodPost, "/connectors/%s/"+action, nil, func(answer jsontext.Value) error {
		var x connector
		if err := json.Unmarshal(answer, &x); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s: %s, now %s\n", x.Name, done, x.State)
		return err
	})
}

type connectorsSyncCmd struct{ connectorsAct }

// Help gives an example.
func (connectorsSyncCmd) Help() string {
	return `The pull begins at once, or as soon as the source system's rate limit allows; it is not waited for.

Example:
  tocsin connectors sync cybervault`
}

// Run asks for a pull.
func (c *connectorsSyncCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, "sync", "pull asked for")
}

type connectorsPauseCmd struct{ connectorsAct }

// Help gives an example.
func (connectorsPauseCmd) Help() string {
	return `Example:
  tocsin connectors pause cybervault`
}

// Run pauses connectors.
func (c *connectorsPauseCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, "pause", "paused")
}

type connectorsResumeCmd struct{ connectorsAct }

// Help gives an example.
func (connectorsResumeCmd) Help() string {
	return `Example:
  tocsin connectors resume cybervault`
}

// Run resumes connectors.
func (c *connectorsResumeCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, "resume", "resumed")
}

type connectorsTestCmd struct{ connectorsAct }

// Help gives an example.
func (connectorsTestCmd) Help() string {
	return `Example:
  tocsin connectors test cybervault`
}

// Run tests connectors.
func (c *connectorsTestCmd) Run(ctx context.Context, p *program) error {
	return c.do(ctx, p, "test", "reached, and it takes the credential")
}

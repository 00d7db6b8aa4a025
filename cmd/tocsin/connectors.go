package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type connectorsCmd struct {
	List     connectorsListCmd     `cmd:"" help:"List the sources and how they do."`
	Show     connectorsShowCmd     `cmd:"" help:"Show all that is known of one source."`
	Rejected connectorsRejectedCmd `cmd:"" help:"List what a source sent or listed that could not be used."`
	Sync     connectorsSyncCmd     `cmd:"" help:"Pull now."`
	Pause    connectorsPauseCmd    `cmd:"" help:"Stop pulling, also after a restart."`
	Resume   connectorsResumeCmd   `cmd:"" help:"Go on pulling."`
	Test     connectorsTestCmd     `cmd:"" help:"Make one harmless call to the source system."`
}

// Help gives an example.
func (connectorsCmd) Help() string {
	return `Examples:
  tocsin connectors list
  tocsin connectors show cybervault
  tocsin connectors rejected scanner
  tocsin connectors sync cybervault`
}

// A connector is how the API shows a source.
type connector struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	State       string    `json:"state"`
	Pulls       bool      `json:"pulls"`
	Mirrors     bool      `json:"mirrors"`
	ListensOn   []string  `json:"listens_on"`
	Interval    string    `json:"interval"`
	Cursor      string    `json:"cursor"`
	LastSuccess time.Time `json:"last_success"`
	LastAttempt time.Time `json:"last_attempt"`
	NextAttempt time.Time `json:"next_attempt"`
	Lag         *float64  `json:"lag_seconds"`
	Failures    int       `json:"consecutive_failures"`
	LastError   *struct {
		At     time.Time `json:"at"`
		Error  string    `json:"error"`
		Advice string    `json:"advice"`
	} `json:"last_error"`
	Counts map[string]int64 `json:"counts"`
	Report jsontext.Value   `json:"report"`
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

type connectorsShowCmd struct {
	apiFlags
	Name string `arg:"" help:"Name of the connector."`
}

// Help gives an example.
func (connectorsShowCmd) Help() string {
	return `Example:
  tocsin connectors show cybervault`
}

// Run shows a connector.
func (c *connectorsShowCmd) Run(ctx context.Context, p *program) error {
	var found jsontext.Value
	err := c.pages(ctx, p, "/connectors", filters(), pageFlags{All: true, Limit: maxPage}, func(part page) error {
		for _, raw := range part.Data {
			var x connector
			if err := json.Unmarshal(raw, &x); err != nil {
				return err
			}
			if x.Name == c.Name {
				found = raw
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return fmt.Errorf("there is no connector %q; tocsin connectors list shows which there are", c.Name)
	case c.JSON:
		return p.json(found)
	}
	var x connector
	if err := json.Unmarshal(found, &x); err != nil {
		return err
	}
	return x.show(p)
}

// show prints all that is known.
func (c *connector) show(p *program) error {
	t := newTable(p.stdout)
	row := func(name, value string) {
		if value != "" && value != "-" {
			t.row(name, value)
		}
	}
	row("name", c.Name)
	row("kind", c.Kind)
	row("state", c.State)
	if c.LastError != nil {
		row("last error", clock(c.LastError.At)+" "+c.LastError.Error)
		row("what to do", c.LastError.Advice)
	}
	if c.Failures > 0 {
		row("failures", strconv.Itoa(c.Failures)+" since the last success")
	}
	row("last success", clock(c.LastSuccess))
	row("last attempt", clock(c.LastAttempt))
	row("next attempt", clock(c.NextAttempt))
	row("lag", c.lag())
	row("interval", c.Interval)
	row("cursor", c.Cursor)
	for _, place := range c.ListensOn {
		row("listens on", place)
	}
	if c.Mirrors {
		row("mirrors", "yes: it is told what becomes of its findings here")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Counts)) {
		row(strings.ReplaceAll(name, "_", " "), strconv.FormatInt(c.Counts[name], 10))
	}
	row("report", string(c.Report))
	return t.flush()
}

type connectorsRejectedCmd struct {
	apiFlags
	Name string `arg:"" help:"Name of the connector."`
}

// Help gives an example.
func (connectorsRejectedCmd) Help() string {
	return `The newest hundred of each connector are kept, with why and the item as it came (in full with --json, up to 16 KiB).

Example:
  tocsin connectors rejected scanner`
}

// Run lists rejected items.
func (c *connectorsRejectedCmd) Run(ctx context.Context, p *program) error {
	type rejected struct {
		At    time.Time `json:"at"`
		Index int       `json:"index"`
		Error string    `json:"error"`
		Item  string    `json:"item"`
	}
	header := []string{"AT", "INDEX", "ERROR", "ITEM"}
	path := "/connectors/" + url.PathEscape(c.Name) + "/rejected"
	return list(ctx, p, &c.apiFlags, path, filters(), pageFlags{All: true, Limit: maxPage}, header, func(x *rejected) []string {
		return []string{clock(x.At), strconv.Itoa(x.Index), x.Error, or(x.Item, "-")}
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

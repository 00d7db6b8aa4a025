package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

type alertsCmd struct {
	List    alertsListCmd    `cmd:"" help:"List alerts, the last changed first."`
	Show    alertsShowCmd    `cmd:"" help:"Show an alert with its timeline."`
	Ack     alertsAckCmd     `cmd:"" help:"Acknowledge alerts: no notification until they change."`
	Resolve alertsResolveCmd `cmd:"" help:"Resolve alerts."`
	Dismiss alertsDismissCmd `cmd:"" help:"Dismiss alerts."`
	Reopen  alertsReopenCmd  `cmd:"" help:"Open alerts again."`
}

// Help gives an example.
func (alertsCmd) Help() string {
	return `Examples:
  tocsin alerts list --status open --severity critical,high
  tocsin alerts ack alt_01J0 --note "looking into it"`
}

type alertsListCmd struct {
	apiFlags
	pageFlags
	Severity []string `placeholder:"S,…" help:"critical, high, medium, low, info."`
	Status   []string `placeholder:"S,…" help:"open, investigating, resolved, dismissed."`
	Type     []string `placeholder:"T,…" help:"Types of finding."`
	Source   []string `placeholder:"NAME,…" help:"Any of the alert's sources."`
	Asset    []string `placeholder:"ID,…" help:"Assets."`
	Account  []string `placeholder:"ID,…" help:"Accounts."`
	Assignee []string `placeholder:"WHO,…" help:"Who is on it."`
	Label    []string `placeholder:"NAME=VALUE,…" help:"Labels, all of which must be there."`
	Query    string   `short:"q" placeholder:"WORDS" help:"Words in title, description, asset or id."`
	Since    string   `placeholder:"TIME" help:"Changed at or after; a time, or a duration back such as 24h."`
	Until    string   `placeholder:"TIME" help:"Changed before."`
	MinRisk  string   `placeholder:"N" help:"Risk score at least, 0 to 100."`
}

// Help gives an example.
func (alertsListCmd) Help() string {
	return `Examples:
  tocsin alerts list --severity critical,high --since 24h
  tocsin alerts list --all --json`
}

// Run lists alerts.
func (c *alertsListCmd) Run(ctx context.Context, p *program) error {
	q := filters("severity", commas(c.Severity), "status", commas(c.Status), "type", commas(c.Type), "source", commas(c.Source),
		"asset_id", commas(c.Asset), "account", commas(c.Account), "assignee", commas(c.Assignee), "label", commas(c.Label),
		"q", c.Query, "since", when(c.Since), "until", when(c.Until), "min_risk", c.MinRisk)
	header := []string{"ID", "SEVERITY", "STATUS", "TYPE", "ASSET", "COUNT", "UPDATED", "TITLE"}
	return list(ctx, p, &c.apiFlags, "/alerts", q, c.pageFlags, header, func(a *hub.Alert) []string {
		return []string{string(a.ID), string(a.Severity), string(a.Status), a.Type, a.AssetID, strconv.FormatInt(a.Count, 10), clock(a.UpdatedAt), a.Title}
	})
}

type alertsShowCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the alert."`
}

// Help gives an example.
func (alertsShowCmd) Help() string {
	return `Example:
  tocsin alerts show alt_01J0`
}

// Run shows an alert.
func (c *alertsShowCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodGet, "/alerts/"+url.PathEscape(c.ID), nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	var a struct {
		hub.Alert
		Timeline []hub.Change `json:"timeline"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	t := newTable(p.stdout)
	for _, f := range [][2]string{
		{"id", string(a.ID)},
		{"title", a.Title},
		{"severity", string(a.Severity)},
		{"status", string(a.Status)},
		{"type", a.Type},
		{"asset", a.AssetID},
		{"account", or(a.Account(), "-")},
		{"sources", commas(a.Sources)},
		{"count", strconv.FormatInt(a.Count, 10)},
		{"generation", strconv.FormatInt(a.Generation, 10)},
		{"assignee", or(a.Assignee, "-")},
		{"first seen", clock(a.FirstSeen)},
		{"last seen", clock(a.LastSeen)},
		{"updated", clock(a.UpdatedAt)},
		{"description", or(a.Description, "-")},
	} {
		t.row(f[0], f[1])
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	t = newTable(p.stdout, "AT", "ACTION", "BY", "REASON", "NOTE")
	for _, ch := range a.Timeline {
		t.row(clock(ch.At), ch.Action, ch.Actor, or(ch.Reason, "-"), or(ch.Note, "-"))
	}
	return t.flush()
}

// alertsAct are what the commands that change alerts take.
type alertsAct struct {
	apiFlags
	IDs  []string `arg:"" name:"id" help:"Ids of alerts."`
	Note string   `placeholder:"TEXT" help:"Why, for the timeline."`
}

func (c *alertsAct) do(ctx context.Context, p *program, action string) error {
	body := map[string]string{}
	if c.Note != "" {
		body["note"] = c.Note
	}
	return c.each(ctx, p, c.IDs, http.MethodPost, "/alerts/%s/"+action, body, func(answer jsontext.Value) error {
		var a hub.Alert
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s is %s\n", a.ID, a.Status)
		return err
	})
}

type alertsAckCmd struct{ alertsAct }

// Help gives an example.
func (alertsAckCmd) Help() string {
	return `Example:
  tocsin alerts ack alt_01J0 --note "looking into it"`
}

// Run acknowledges alerts.
func (c *alertsAckCmd) Run(ctx context.Context, p *program) error { return c.do(ctx, p, "acknowledge") }

type alertsResolveCmd struct{ alertsAct }

// Help gives an example.
func (alertsResolveCmd) Help() string {
	return `Example:
  tocsin alerts resolve alt_01J0 alt_01J1 --note "patched"`
}

// Run resolves alerts.
func (c *alertsResolveCmd) Run(ctx context.Context, p *program) error { return c.do(ctx, p, "resolve") }

type alertsDismissCmd struct{ alertsAct }

// Help gives an example.
func (alertsDismissCmd) Help() string {
	return `Example:
  tocsin alerts dismiss alt_01J0 --note "test system"`
}

// Run dismisses alerts.
func (c *alertsDismissCmd) Run(ctx context.Context, p *program) error { return c.do(ctx, p, "dismiss") }

type alertsReopenCmd struct{ alertsAct }

// Help gives an example.
func (alertsReopenCmd) Help() string {
	return `Example:
  tocsin alerts reopen alt_01J0`
}

// Run opens alerts again.
func (c *alertsReopenCmd) Run(ctx context.Context, p *program) error { return c.do(ctx, p, "reopen") }

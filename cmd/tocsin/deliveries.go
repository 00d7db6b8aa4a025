package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

type deliveriesCmd struct {
	List  deliveriesListCmd  `cmd:"" help:"List deliveries, newest first."`
	Show  deliveriesShowCmd  `cmd:"" help:"Show a delivery with its attempts."`
	Retry deliveriesRetryCmd `cmd:"" help:"Try deliveries now, in place of their next retry."`

	Replay  deliveriesReplayCmd  `cmd:"" help:"Send an endpoint's deliveries of a range of time again."`
	Replays deliveriesReplaysCmd `cmd:"" help:"List the replays of an endpoint, or stop one."`
}

// Help gives an example.
func (deliveriesCmd) Help() string {
	return `Examples:
  tocsin deliveries list --state dead,held
  tocsin deliveries retry --state dead --endpoint whk_01J0
  tocsin deliveries replay whk_01J0 --since 24h`
}

type deliveriesListCmd struct {
	apiFlags
	pageFlags
	deliveryFilter
}

// A deliveryFilter says which deliveries are meant.
type deliveryFilter struct {
	State    []string `placeholder:"S,…" help:"pending, delivering, succeeded, retrying, held, dead."`
	Kind     []string `placeholder:"K,…" help:"Kinds of endpoint: webhook, slack, pagerduty and so on."`
	Endpoint string   `placeholder:"ID" help:"Endpoint."`
	Event    string   `placeholder:"ID" help:"Event."`
	Subject  string   `placeholder:"ID" help:"Alert or other object that the event is about."`
}

func (f *deliveryFilter) query() url.Values {
	return filters("state", commas(f.State), "kind", commas(f.Kind), "endpoint_id", f.Endpoint, "event_id", f.Event, "subject", f.Subject)
}

// Help gives an example.
func (deliveriesListCmd) Help() string {
	return `Examples:
  tocsin deliveries list --state dead
  tocsin deliveries list --endpoint whk_01J0 --all --json`
}

// Run lists deliveries.
func (c *deliveriesListCmd) Run(ctx context.Context, p *program) error {
	header := []string{"ID", "STATE", "KIND", "EVENT", "SUBJECT", "ATTEMPTS", "STATUS", "NEXT", "CREATED", "ERROR"}
	return list(ctx, p, &c.apiFlags, "/deliveries", c.query(), c.pageFlags, header, func(d *hub.Delivery) []string {
		return []string{
			string(d.ID), string(d.State), d.Kind, string(d.EventType), d.Subject, strconv.Itoa(d.Attempts), status(d.Status), clock(d.DueAt),
			clock(d.CreatedAt), or(d.Error, "-"),
		}
	})
}

// status shows an HTTP status, "-" for none.
func status(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

type deliveriesShowCmd struct {
	apiFlags
	ID string `arg:"" help:"Id of the delivery."`
}

// Help gives an example.
func (deliveriesShowCmd) Help() string {
	return `Example:
  tocsin deliveries show dlv_01J0`
}

// Run shows a delivery.
func (c *deliveriesShowCmd) Run(ctx context.Context, p *program) error {
	answer, err := c.ask(ctx, p, http.MethodGet, "/deliveries/"+url.PathEscape(c.ID), nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.raw(answer)
	}
	var d struct {
		hub.Delivery
		Log []hub.Attempt `json:"attempt_log"`
	}
	if err := json.Unmarshal(answer, &d); err != nil {
		return err
	}
	t := newTable(p.stdout)
	for _, f := range [][2]string{
		{"id", string(d.ID)},
		{"state", string(d.State)},
		{"endpoint", string(d.Endpoint)},
		{"kind", d.Kind},
		{"action", d.Action},
		{"event", string(d.EventID) + " " + string(d.EventType)},
		{"subject", d.Subject},
		{"attempts", strconv.Itoa(d.Attempts)},
		{"next attempt", clock(d.DueAt)},
		{"created", clock(d.CreatedAt)},
		{"last error", or(d.Error, "-")},
	} {
		t.row(f[0], f[1])
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	return attempts(p, d.Log)
}

func attempts(p *program, log []hub.Attempt) error {
	t := newTable(p.stdout, "ATTEMPT", "AT", "TOOK", "STATUS", "VERDICT", "ERROR")
	for _, a := range log {
		t.row(strconv.Itoa(a.Number), clock(a.At), time.Duration(a.Duration).Round(time.Millisecond).String(), status(a.Status), a.Verdict, or(a.Error, "-"))
	}
	return t.flush()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

type deliveriesReplayCmd struct {
	apiFlags
	Endpoint string   `arg:"" help:"Id of the webhook endpoint."`
	Since    string   `required:"" placeholder:"TIME" help:"From when on: a time, or a duration back from now such as 24h."`
	Until    string   `placeholder:"TIME" help:"Until when, likewise; now if not given."`
	Event    []string `placeholder:"GLOB,…" help:"Events to send, such as alert.*; all if not given."`
	State    []string `placeholder:"S,…" help:"Only deliveries in these states, such as dead; all if not given."`
	DryRun   bool     `help:"Only count them."`
	Detach   bool     `help:"Return when the hub has begun; it goes on by itself."`
}

// Help gives an example.
func (deliveriesReplayCmd) Help() string {
	return `Each delivery is sent once more under the same webhook-id, in the background: new
events go first. The hub goes on by itself, also after a restart and after this
command was interrupted; see replays --stop.

Examples:
  tocsin deliveries replay whk_01J0 --since 24h --dry-run
  tocsin deliveries replay whk_01J0 --since 2026-03-01T12:00:00Z --until 2026-03-01T18:00:00Z --state dead`
}

// A replayed is a replay as the hub shows it.
type replayed struct {
	hub.Replay
	Count int64 `json:"count"`
}

// replayPause is how long the command waits before it asks how far a replay is.
const replayPause = 500 * time.Millisecond

// Run begins a replay and shows how it goes.
func (c *deliveriesReplayCmd) Run(ctx context.Context, p *program) error {
	body := map[string]any{"since": when(c.Since)}
	if c.Until != "" {
		body["until"] = when(c.Until)
	}
	if len(c.Event) > 0 {
		body["events"] = c.Event
	}
	if len(c.State) > 0 {
		body["state"] = c.State
	}
	if c.DryRun {
		body["dry_run"] = true
	}
	answer, err := c.ask(ctx, p, http.MethodPost, "/webhooks/"+url.PathEscape(c.Endpoint)+"/replay", body)
	if err != nil {
		return err
	}
	if !c.DryRun && !c.Detach {
		if answer, err = c.follow(ctx, p, answer); err != nil {
			return err
		}
	}
	return c.show(p, answer)
}

// follow shows how far the replay has come until it is over.
func (c *deliveriesReplayCmd) follow(ctx context.Context, p *program, answer jsontext.Value) (jsontext.Value, error) {
	m := newMeter(p, deliveriesUnit)
	defer m.close()
	for {
		var r replayed
		if err := json.Unmarshal(answer, &r); err != nil {
			return nil, err
		}
		m.update(r.Done, r.Total, string(r.State))
		if r.State != hub.ReplayRunning {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			m.close()
			return nil, errors.New("interrupted; the hub goes on with " + string(r.ID) + ", to stop it: tocsin deliveries replays " + c.Endpoint + " --stop " + string(r.ID))
		case <-time.After(replayPause):
		}
		next, err := c.ask(ctx, p, http.MethodGet, "/replays/"+url.PathEscape(string(r.ID)), nil)
		if err != nil {
			if ctx.Err() != nil {
				continue
			}
			return nil, err
		}
		answer = next
	}
}

func (c *deliveriesReplayCmd) show(p *program, answer jsontext.Value) error {
	if c.JSON {
		return p.raw(answer)
	}
	var r replayed
	if err := json.Unmarshal(answer, &r); err != nil {
		return err
	}
	text := fmt.Sprintf("%s is %s: %s", r.ID, r.State, replayCounts(&r.Replay))
	if c.DryRun {
		text = fmt.Sprintf("%d deliveries would be sent again", r.Count)
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}

// replayCounts says how far a replay is.
func replayCounts(r *hub.Replay) string {
	text := fmt.Sprintf("%d of %d deliveries are due or sent again", r.Done-r.Skipped, r.Total)
	if r.Skipped > 0 {
		text += fmt.Sprintf(", %d were on their way already", r.Skipped)
	}
	return text
}

type deliveriesReplaysCmd struct {
	apiFlags
	Endpoint string `arg:"" help:"Id of the webhook endpoint."`
	Stop     string `placeholder:"ID" help:"Stop this replay; the few deliveries that are due already are still sent."`
}

// Help gives an example.
func (deliveriesReplaysCmd) Help() string {
	return `Examples:
  tocsin deliveries replays whk_01J0
  tocsin deliveries replays whk_01J0 --stop rpl_01J0`
}

// Run lists replays, or stops one.
func (c *deliveriesReplaysCmd) Run(ctx context.Context, p *program) error {
	if c.Stop != "" {
		return c.each(ctx, p, []string{c.Stop}, http.MethodPost, "/replays/%s/cancel", nil, func(answer jsontext.Value) error {
			var r hub.Replay
			if err := json.Unmarshal(answer, &r); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "%s is %s: %s\n", r.ID, r.State, replayCounts(&r))
			return err
		})
	}
	header := []string{"ID", "STATE", "SINCE", "UNTIL", "DONE", "TOTAL", "BY", "BEGAN"}
	return list(ctx, p, &c.apiFlags, "/webhooks/"+url.PathEscape(c.Endpoint)+"/replays", filters(), pageFlags{Limit: 1, All: true}, header, func(r *hub.Replay) []string {
		return []string{
			string(r.ID), string(r.State), clock(r.Since), clock(r.Until), strconv.FormatInt(r.Done, 10), strconv.FormatInt(r.Total, 10), r.CreatedBy, clock(r.CreatedAt),
		}
	})
}

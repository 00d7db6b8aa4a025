package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
)

type deliveriesRetryCmd struct {
	apiFlags
	deliveryFilter
	IDs []string `arg:"" optional:"" name:"id" help:"Ids of deliveries; in place of them, flags that say which."`
}

// Help gives an example.
func (deliveriesRetryCmd) Help() string {
	return `A delivery that waits for its next try is tried now instead. One that is dead or
succeeded starts its schedule anew; its attempts go on counting, and it keeps its
webhook-id. For many, replay is quicker.

Examples:
  tocsin deliveries retry dlv_01J0 dlv_01J1
  tocsin deliveries retry --state dead --endpoint whk_01J0`
}

// Run makes deliveries due.
func (c *deliveriesRetryCmd) Run(ctx context.Context, p *program) error {
	q := c.query()
	switch {
	case len(c.IDs) > 0 && len(q) > 0:
		return &ops.UsageError{Msg: "name deliveries, or give flags that say which, but not both"}
	case len(c.IDs) == 0 && len(c.State) == 0:
		return &ops.UsageError{Msg: "name deliveries, or say which with --state, such as --state dead"}
	case len(c.IDs) == 0:
		return c.retryAll(ctx, p, q)
	}
	return c.each(ctx, p, c.IDs, http.MethodPost, "/deliveries/%s/retry", nil, func(answer jsontext.Value) error {
		var d hub.Delivery
		if err := json.Unmarshal(answer, &d); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s is %s\n", d.ID, d.State)
		return err
	})
}

// A retried says how retrying many went.
type retried struct {
	Retried int               `json:"retried"`
	Failed  map[string]string `json:"failed,omitempty"` // by id: why
}

// retryAll retries what the flags say. They are listed first: what is retried
// changes its state, and the list with it.
func (c *deliveriesRetryCmd) retryAll(ctx context.Context, p *program, q url.Values) error {
	var ids []string
	err := c.pages(ctx, p, "/deliveries", q, pageFlags{Limit: 1, All: true}, func(part page) error {
		for _, raw := range part.Data {
			var d hub.Delivery
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			ids = append(ids, string(d.ID))
		}
		return nil
	})
	if err != nil {
		return err
	}
	out := retried{Failed: map[string]string{}}
	m := newMeter(p, deliveriesUnit)
	client, err := c.client(p)
	if err != nil {
		return err
	}
	client.Patience = morePatience
	for i, id := range ids {
		_, err := client.Do(ctx, ops.Call{Method: http.MethodPost, Path: "/deliveries/" + url.PathEscape(id) + "/retry"})
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			out.Failed[id] = err.Error()
		} else {
			out.Retried++
		}
		m.update(int64(i+1), int64(len(ids)), "")
	}
	m.close()
	return c.showRetried(ctx, p, &out, len(ids))
}

func (c *deliveriesRetryCmd) showRetried(ctx context.Context, p *program, out *retried, all int) error {
	for id, why := range out.Failed {
		fmt.Fprintf(p.stderr, "tocsin: %s: %s\n", id, plain(why, 200))
	}
	err := error(nil)
	if c.JSON {
		err = p.json(out)
	} else {
		_, err = fmt.Fprintf(p.stdout, "%d of %d deliveries are due now\n", out.Retried, all)
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case len(out.Failed) > 0:
		return exit(exitFailure)
	}
	return nil
}

func deliveriesUnit(n int64) string { return fmt.Sprintf("%d deliveries", n) }

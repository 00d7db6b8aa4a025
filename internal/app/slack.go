package app

import (
	"context"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// postings gives the messages at an endpoint that stand for lives of alerts; see
// slack.Options.
func postings(st *store.Store) func(context.Context, *hub.Endpoint, []hub.AlertID) ([]hub.Posting, error) {
	return func(ctx context.Context, e *hub.Endpoint, alerts []hub.AlertID) (all []hub.Posting, err error) {
		err = st.View(ctx, func(r *store.Reader) error {
			all, err = r.Postings(e.Tenant, e.ID, alerts)
			return err
		})
		return all, err
	}
}

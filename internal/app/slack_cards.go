package app

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

const (
	// cardsEvery is how often it is looked for cards that lag behind what they
	// should show: a burst is told of in a summary, which changes no cards.
	cardsEvery = 15 * time.Second
	// cardsAfter is how long a card may be behind: the delivery of the event that
	// changes it comes first, if there is one.
	cardsAfter = 2 * time.Second
	// cardsAtOnce is how many cards of an endpoint are changed in a row, and cardsPace
	// the time between two: Slack lets an app change 50 a minute, and deliveries need
	// some of them.
	cardsAtOnce = 10
	cardsPace   = 3 * time.Second
	// cardLimit is how long one change may take.
	cardLimit = 15 * time.Second
)

// run brings cards up to date until ctx ends, and waits for what is being said.
func (s *slackSide) run(ctx context.Context) {
	s.runCards(ctx)
	s.whispers.Wait()
}

// runCards brings cards up to date until ctx ends, on one node.
func (s *slackSide) runCards(ctx context.Context) {
	s.cluster.once(ctx, "slack-cards", func(ctx context.Context) {
		t := time.NewTimer(cardsAfter)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.poke:
				t.Reset(cardsAfter)
				continue
			case <-t.C:
			}
			if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cards at Slack are not up to date", "error", err)
			}
			t.Reset(cardsEvery)
		}
	})
}

// refresh brings the cards of every endpoint up to date that lag behind.
func (s *slackSide) refresh(ctx context.Context) error {
	for _, e := range s.rules.all() {
		if e.Kind != hub.KindSlack || !e.Enabled || s.rules.holds(e) {
			continue
		}
		if err := s.refreshAt(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *slackSide) refreshAt(ctx context.Context, e *hub.Endpoint) error {
	var behind []hub.Posting
	alerts := map[hub.AlertID]*hub.Alert{}
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		if behind, err = r.PostingsBehind(e.ID, cardsAtOnce); err != nil {
			return err
		}
		ids := make([]hub.AlertID, len(behind))
		for i, p := range behind {
			ids[i] = p.Alert
		}
		alerts, err = r.Alerts(e.Tenant, ids)
		return err
	})
	if err != nil {
		return err
	}
	for i, p := range behind {
		if i > 0 && !sleep(ctx, cardsPace) {
			return ctx.Err()
		}
		if p.OfApproval() {
			if err := s.refreshQuestion(ctx, e, p); err != nil {
				return err
			}
			continue
		}
		if err := s.refreshCard(ctx, e, p, alerts[p.Alert]); err != nil {
			return err
		}
	}
	return nil
}

// refreshCard shows an alert as it is in its card. The card of an earlier life, and
// that of an alert that is gone, stay as they are.
func (s *slackSide) refreshCard(ctx context.Context, e *hub.Endpoint, p hub.Posting, a *hub.Alert) error {
	entry := hub.Audited(hub.System(e.Tenant), "slack.refresh", "channel", string(e.ID))
	if a != nil && a.Generation == p.Generation {
		limited, cancel := context.WithTimeout(ctx, cardLimit)
		defer cancel()
		shown, err := s.target.Refresh(limited, e, p, a)
		if err != nil {
			return err
		}
		p = shown
	}
	p.Version = max(p.Version, p.Wanted)
	entry.Details = new(hub.Details).Str("alert", string(p.Alert)).Str("message", p.Place+"/"+p.Message).Int("version", p.Version).Value()
	return s.shown(ctx, entry, p)
}

// refreshQuestion shows an approval as it is in the message that asks for it.
func (s *slackSide) refreshQuestion(ctx context.Context, e *hub.Endpoint, p hub.Posting) error {
	var a *hub.Approval
	err := s.st.View(ctx, func(r *store.Reader) (err error) {
		a, err = r.Approval(p.Tenant, hub.ApprovalID(p.Alert))
		return err
	})
	if err != nil && hub.KindOf(err) != hub.NotFound {
		return err
	}
	if a != nil {
		limited, cancel := context.WithTimeout(ctx, cardLimit)
		defer cancel()
		if p, err = s.target.RefreshQuestion(limited, e, p, a); err != nil {
			return err
		}
	} else {
		p.Version = p.Wanted // there is nothing left to show
	}
	entry := hub.Audited(hub.System(e.Tenant), "slack.refresh", "channel", string(e.ID))
	entry.Details = new(hub.Details).Str("approval", string(p.Alert)).Str("message", p.Place+"/"+p.Message).Int("version", p.Version).Value()
	return s.shown(ctx, entry, p)
}

// shown records that a message shows what it should.
func (s *slackSide) shown(ctx context.Context, entry hub.AuditEntry, p hub.Posting) error {
	return s.st.Do(ctx, func(tx *store.Tx) error {
		tx.Audit(entry)
		return tx.PutPosting(&p)
	})
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

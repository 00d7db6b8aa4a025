package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/pipelines/playbook"
	"github.com/tocsin/tocsin/pipelines/route"
	alertrules "github.com/tocsin/tocsin/pipelines/rules"
)

// A ruler keeps the rules that triage works by in step with what is stored and
// configured.
type ruler struct {
	st         *store.Store
	log        *slog.Logger
	profiles   dedup.Profiles
	playbooks  *playbook.Set
	connectors []*hub.Endpoint // stand for the connectors' actions
	mirrors    map[string]pipelines.Mirror
	shared     bool   // other nodes want to know of events
	changed    func() // called after a change of endpoints is in force

	mu       sync.Mutex // one reload at a time, so that an older one cannot win
	pipeline *pipelines.Pipeline

	known    sync.RWMutex // guards what follows
	byID     map[hub.EndpointID]*hub.Endpoint
	breakers map[hub.EndpointID]*hub.Breaker // of endpoints that fail
	changes  int                             // of breakers by this process
}

// load reads the endpoints and makes rules of them.
func (u *ruler) load(ctx context.Context) (*pipelines.Rules, error) {
	var all []*hub.Endpoint
	var alerting []*hub.AlertRule
	err := u.st.View(ctx, func(r *store.Reader) (err error) {
		if all, err = r.Endpoints(""); err != nil {
			return err
		}
		alerting, err = r.AlertRules("")
		return err
	})
	if err != nil {
		return nil, err
	}
	table, err := route.New(all, func(e *hub.Endpoint, ev *hub.Event, err error) {
		u.log.Warn("filter failed; the endpoint does not get the event", "endpoint", e.ID, "event", ev.ID, "error", err)
	})
	if err != nil { // one endpoint with an expression that was valid once must not stop the others
		u.log.Error("some endpoints get no events", "error", err)
	}
	rules := &pipelines.Rules{Profiles: u.profiles, Playbooks: u.playbooks, Routes: table, PublishEvents: u.shared, Endpoints: map[string]*hub.Endpoint{}, Mirrors: u.mirrors, ByID: map[hub.EndpointID]*hub.Endpoint{}}
	rules.Alerting, err = alertrules.New(alerting, func(r *hub.AlertRule, ev *hub.Event, err error) {
		u.log.Warn("condition of an alert rule failed; it is not met", "rule", r.ID, "event", ev.ID, "error", err)
	})
	if err != nil {
		u.log.Error("some alert rules are not in force", "error", err)
	}
	byID := map[hub.EndpointID]*hub.Endpoint{}
	for _, e := range append(all, u.connectors...) {
		byID[e.ID], rules.ByID[e.ID] = e, e
		rules.PublishEvents = rules.PublishEvents || e.Kind == hub.KindElastic // one that is switched off gets them later
		if e.Name != "" {
			rules.Endpoints[string(e.Tenant)+"/"+e.Name] = e
		}
	}
	u.known.Lock()
	u.byID = byID
	u.known.Unlock()
	return rules, u.loadBreakers(ctx)
}

// loadBreakers reads which endpoints fail, again if one changed meanwhile.
func (u *ruler) loadBreakers(ctx context.Context) error {
	for {
		u.known.RLock()
		changes := u.changes
		u.known.RUnlock()
		var all map[hub.EndpointID]*hub.Breaker
		err := u.st.View(ctx, func(r *store.Reader) (err error) {
			all, err = r.Breakers()
			return err
		})
		if err != nil {
			return err
		}
		u.known.Lock()
		same := changes == u.changes
		if same {
			u.breakers = all
		}
		u.known.Unlock()
		if same {
			return nil
		}
	}
}

// putBreaker stores in a transaction that an endpoint fails, or with nil that it
// does not any more. It holds from the commit on.
func (u *ruler) putBreaker(tx *store.Tx, t hub.TenantID, id hub.EndpointID, b *hub.Breaker) error {
	tx.AfterCommit(func() {
		u.known.Lock()
		defer u.known.Unlock()
		u.changes++
		if b == nil {
			delete(u.breakers, id)
		} else {
			u.breakers[id] = b
		}
	})
	return tx.PutBreaker(t, id, b)
}

// breaker gives the breaker of an endpoint; nil if it does not fail.
func (u *ruler) breaker(id hub.EndpointID) *hub.Breaker {
	u.known.RLock()
	defer u.known.RUnlock()
	return u.breakers[id]
}

// failing lists the endpoints that fail.
func (u *ruler) failing() map[hub.EndpointID]*hub.Breaker {
	u.known.RLock()
	defer u.known.RUnlock()
	return maps.Clone(u.breakers)
}

// holds reports whether what is for an endpoint is held.
func (u *ruler) holds(e *hub.Endpoint) bool { return !e.Enabled || u.breaker(e.ID) != nil }

// reload puts changed endpoints into force; it returns when they are.
func (u *ruler) reload(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	rules, err := u.load(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	u.pipeline.SetRules(rules)
	u.changed()
	return nil
}

// endpoint gives an endpoint by its id, nil if there is none.
func (u *ruler) endpoint(id hub.EndpointID) *hub.Endpoint {
	u.known.RLock()
	defer u.known.RUnlock()
	return u.byID[id]
}

// all gives every endpoint.
func (u *ruler) all() []*hub.Endpoint {
	u.known.RLock()
	defer u.known.RUnlock()
	return slices.Collect(maps.Values(u.byID))
}

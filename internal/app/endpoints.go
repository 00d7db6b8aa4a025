package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/relay/email"
	"github.com/tocsin/tocsin/relay/template"
	"github.com/tocsin/tocsin/relay/webhook"
)

// syncEndpoints puts the endpoints of the config file into the store, where the
// others are: new ones are added, changed ones changed, and those that are not
// in the file any more are switched off, so that what is on its way to them is
// held and not lost.
func (a *App) syncEndpoints(ctx context.Context) error {
	now := hub.Truncate(a.st.Now())
	soon, cancel := context.WithTimeout(ctx, lookUpLimit)
	defer cancel()
	for i := range a.cfg.Endpoints {
		e := a.cfg.Endpoints[i].Hub()
		fields := route.Check(&e)
		if e.Kind == hub.KindWebhook {
			fields = append(fields, webhook.Check(&e)...)
		}
		if e.Kind == hub.KindEmail {
			fields = append(fields, email.Check(&e)...)
		}
		fields = append(fields, template.Check(e.Kind, e.Templates)...)
		if len(fields) > 0 {
			return fmt.Errorf("endpoint %s: %s %s", e.Name, fields[0].Pointer[1:], fields[0].Detail)
		}
		a.warnRefused(soon, &e)
	}
	return a.st.Do(ctx, func(tx *store.Tx) error {
		stored, err := tx.Endpoints(hub.DefaultTenant)
		if err != nil {
			return err
		}
		origins, err := tx.EndpointOrigins(hub.DefaultTenant)
		if err != nil {
			return err
		}
		byName := map[string]*hub.Endpoint{}
		for _, e := range stored {
			if origins[e.ID] == store.OriginConfig {
				byName[e.Name] = e
			}
		}
		for i := range a.cfg.Endpoints {
			e := a.cfg.Endpoints[i].Hub()
			if err := syncEndpoint(tx, &e, byName[e.Name], now); err != nil {
				return err
			}
			delete(byName, e.Name)
		}
		for _, gone := range byName {
			if err := switchOff(tx, gone, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// lookUpLimit is how long a start waits for the addresses of endpoints.
const lookUpLimit = 2 * time.Second

// warnRefused tells of an endpoint of the config file that nothing will be sent to.
// That is no reason not to start: what is for it dies with the same reason, and
// can be replayed.
func (a *App) warnRefused(ctx context.Context, e *hub.Endpoint) {
	var err error
	if host, _ := email.Host(e); host != "" {
		err = a.client.CheckHost(ctx, host)
	} else if e.URL != "" {
		err = a.client.Check(ctx, e.URL)
	}
	var refused *safehttp.Refused
	if !errors.As(err, &refused) {
		return
	}
	a.log.Warn("nothing will be sent to an endpoint of the config file", "endpoint", e.Name, "reason", refused.Reason, "advice", refused.Error())
}

func syncEndpoint(tx *store.Tx, e, old *hub.Endpoint, now time.Time) error {
	e.Tenant, e.Version, e.CreatedAt = hub.DefaultTenant, 1, now
	action := "endpoint.create"
	if old != nil {
		e.ID, e.Version, e.CreatedAt, e.UpdatedAt = old.ID, old.Version, old.CreatedAt, old.UpdatedAt
		e.Secrets = carried(e.Secrets, old.Secrets, now)
		if e.Enabled && old.Disabled != "" && old.Disabled != goneFromConfig {
			e.Enabled, e.Disabled = false, old.Disabled // the far side said 410: a restart does not change its mind
		}
		publish(e)
		if equalEndpoints(e, old) {
			return nil
		}
		e.Version++
		action = "endpoint.update"
	} else {
		e.ID = newEndpointID(e.Kind)
		publish(e)
	}
	e.UpdatedAt = now
	tx.Audit(endpointEntry(hub.System(e.Tenant), action, e))
	return tx.PutEndpoint(e, store.OriginConfig)
}

func newEndpointID(kind string) hub.EndpointID {
	if kind == hub.KindWebhook {
		return hub.EndpointID(ident.New(hub.PrefixWebhook))
	}
	return hub.EndpointID(ident.New(hub.PrefixChannel))
}

func equalEndpoints(a, b *hub.Endpoint) bool {
	same := func(x, y any) bool {
		p, err1 := json.Marshal(x, json.Deterministic(true))
		q, err2 := json.Marshal(y, json.Deterministic(true))
		return err1 == nil && err2 == nil && bytes.Equal(p, q)
	}
	return same(a, b) && same(a.Secrets, b.Secrets)
}

// goneFromConfig is why an endpoint is off that the config file no longer has.
const goneFromConfig = "removed from the config file"

func switchOff(tx *store.Tx, e *hub.Endpoint, now time.Time) error {
	if !e.Enabled {
		return nil
	}
	e.Enabled, e.Disabled, e.UpdatedAt = false, goneFromConfig, now
	e.Version++
	tx.Audit(endpointEntry(hub.System(e.Tenant), "endpoint.disable", e))
	return tx.PutEndpoint(e, store.OriginConfig)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/ident"
	"github.com/tocsin/tocsin/internal/page"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/relay"
	"github.com/tocsin/tocsin/relay/email"
	"github.com/tocsin/tocsin/relay/sign"
	"github.com/tocsin/tocsin/relay/template"
	"github.com/tocsin/tocsin/relay/webhook"
)

// channels are the endpoints that people are told by. Those of the config file are
// shown with those made over the API, and changed nowhere but there.
type channels struct {
	st      *store.Store
	rules   *ruler
	source  string // the hub's own URI
	poke    func() // tells the steward that there is something to release or hold
	client  *safehttp.Client
	targets map[string]relay.Target
	timeout time.Duration // of a trial, where the channel does not say
}

var _ api.Channels = (*channels)(nil)

func isChannel(id hub.EndpointID) bool { return strings.HasPrefix(string(id), hub.PrefixChannel) }

// List shows the channels.
func (c *channels) List(ctx context.Context, t hub.TenantID, pg page.Request) (out api.List[api.Channel], err error) {
	after, err := page.Decode("channels", pg.After)
	if err != nil {
		return out, err
	}
	var all []*hub.Endpoint
	var origins map[hub.EndpointID]string
	err = c.st.View(ctx, func(r *store.Reader) error {
		if all, err = r.Endpoints(t); err != nil {
			return err
		}
		origins, err = r.EndpointOrigins(t)
		return err
	})
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(e *hub.Endpoint) bool { return !isChannel(e.ID) })
	if pg.Page > 0 {
		n := int64(len(all))
		out.Total = &n
	}
	i, found := slices.BinarySearchFunc(all, after, func(e *hub.Endpoint, id string) int { return strings.Compare(string(e.ID), id) })
	if found {
		i++
	}
	all = all[min(i+pg.Skip(), len(all)):]
	if len(all) > pg.Limit {
		all = all[:pg.Limit]
		out.Next = page.Encode("channels", string(all[pg.Limit-1].ID))
	}
	for _, e := range all {
		out.Data = append(out.Data, c.shown(e, origins[e.ID]))
	}
	return out, nil
}

// Channel shows one.
func (c *channels) Channel(ctx context.Context, t hub.TenantID, id hub.EndpointID) (out api.Channel, err error) {
	err = c.st.View(ctx, func(r *store.Reader) error {
		e, origin, err := findChannel(r, t, id)
		if err == nil {
			out = c.shown(e, origin)
		}
		return err
	})
	return out, err
}

// shown adds to a channel whether it fails. It is the caller's own.
func (c *channels) shown(e *hub.Endpoint, origin string) api.Channel {
	e.Breaker = c.rules.breaker(e.ID)
	return api.Channel{Endpoint: e, Origin: origin}
}

func findChannel(r *store.Reader, t hub.TenantID, id hub.EndpointID) (*hub.Endpoint, string, error) {
	if !isChannel(id) {
		return nil, "", hub.E(hub.NotFound, fmt.Sprintf("there is no channel %q", id))
	}
	e, err := r.Endpoint(t, id)
	if hub.KindOf(err) == hub.NotFound {
		return nil, "", hub.E(hub.NotFound, fmt.Sprintf("there is no channel %q", id))
	}
	if err != nil {
		return nil, "", err
	}
	origins, err := r.EndpointOrigins(t)
	return e, origins[id], err
}

// own is findChannel for a change.
func own(r *store.Reader, t hub.TenantID, id hub.EndpointID) (*hub.Endpoint, error) {
	e, origin, err := findChannel(r, t, id)
	if err == nil && origin == store.OriginConfig {
		err = hub.E(hub.Conflict, fmt.Sprintf("the channel %s is written in the config file; change it there and restart the hub", e.Name))
	}
	return e, err
}

// validate says everything that is wrong with e, with the same verdict on its
// address as a delivery will meet.
func (c *channels) validate(ctx context.Context, e *hub.Endpoint) error {
	if e.Ordering == "" {
		e.Ordering = "none"
	}
	fields := append(route.Check(e), checkChannel(e)...)
	for _, a := range c.addresses(e) {
		err := a.check(ctx)
		if hub.KindOf(err) == hub.Transient {
			return err // the resolver does not answer: nobody can say yet
		}
		if err != nil {
			fields = append(fields, hub.Field{Pointer: a.pointer, Detail: reason(err)})
		}
	}
	return invalid(fields)
}

// invalid is the error for faults, nil for none.
func invalid(fields []hub.Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &hub.Error{Kind: hub.Invalid, Msg: strings.TrimPrefix(fields[0].Pointer, "/") + ": " + fields[0].Detail, Fields: fields}
}

// An address is where an endpoint sends to.
type address struct {
	pointer string
	check   func(ctx context.Context) error
}

// addresses are those that the endpoint names itself.
func (c *channels) addresses(e *hub.Endpoint) (all []address) {
	if e.Kind == hub.KindEmail {
		host, _ := email.Host(e)
		if host != "" {
			all = append(all, address{"/host", func(ctx context.Context) error { return c.client.CheckHost(ctx, host) }})
		}
		return all
	}
	for pointer, url := range map[string]string{"/url": e.URL, "/api_url": e.Config["api_url"]} {
		if url != "" {
			all = append(all, address{pointer, func(ctx context.Context) error { return c.client.Check(ctx, url) }})
		}
	}
	return all
}

// checkChannel gives every fault of what is special about a channel.
func checkChannel(e *hub.Endpoint) (fields []hub.Field) {
	wrong := func(pointer, detail string) { fields = append(fields, hub.Field{Pointer: pointer, Detail: detail}) }
	token := func(name string) string { return e.Secrets.Tokens[name] }
	if strings.TrimSpace(e.Name) == "" {
		wrong("/name", "is required: what people and playbooks call it")
	}
	switch e.Kind {
	case hub.KindWebhook:
		fields = append(append(fields, needsURL(e, "where the events go")...), webhook.Check(e)...)
		return append(fields, template.Check(e.Kind, e.Templates)...)
	case hub.KindSlack:
		switch {
		case (e.URL == "") == (token("bot_token") == ""):
			wrong("/url", "give either url, an incoming webhook's, or bot_token with channel")
		case e.URL == "" && e.Config["channel"] == "":
			wrong("/channel", "is required with bot_token: an id, or a name with #")
		}
	case hub.KindPagerDuty:
		if len(token("routing_key")) != 32 {
			wrong("/routing_key", "must be the 32 characters of an Events API v2 integration's key")
		}
	case hub.KindEmail:
		fields = append(fields, email.Check(e)...)
	case hub.KindElastic:
		fields = append(fields, needsURL(e, "such as https://elasticsearch.example.com:9200")...)
		if !elasticName.MatchString(e.Name) {
			wrong("/name", "must be 1 to 63 of a-z, 0-9, - and _ for this kind: what is written is known by it")
		}
		if token("api_key") != "" && e.Config["username"] != "" {
			wrong("/api_key", "stands beside username; give one way to log in")
		} else if err := ElasticSettings(e, "http://localhost").Check(); e.URL != "" && err != nil {
			fields = append(fields, faults(err)...)
		}
	default:
		wrong("/kind", "must be slack, pagerduty, email, elasticsearch or webhook")
	}
	return append(append(fields, checkDelivery(e)...), template.Check(e.Kind, e.Templates)...)
}

// elasticName is how the config file has it.
var elasticName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// faults gives what is wrong with settings by place.
func faults(err error) []hub.Field {
	var e *hub.Error
	if errors.As(err, &e) && len(e.Fields) > 0 {
		return e.Fields
	}
	return []hub.Field{{Pointer: "/url", Detail: reason(err)}}
}

func needsURL(e *hub.Endpoint, what string) []hub.Field {
	if e.URL != "" {
		return nil
	}
	return []hub.Field{{Pointer: "/url", Detail: "is required: " + what}}
}

// checkDelivery checks what all kinds have in common as webhooks do, and refuses
// what only webhooks have.
func checkDelivery(e *hub.Endpoint) (fields []hub.Field) {
	common := &hub.Endpoint{
		Timeout: e.Timeout, RateLimit: e.RateLimit, Ordering: e.Ordering, Retry: e.Retry,
		Secrets: hub.EndpointSecrets{Signing: []hub.SigningSecret{{Text: sign.NewSecret()}}},
	}
	fields = webhook.Check(common)
	for pointer, given := range map[string]bool{
		"/headers": len(e.Headers) > 0, "/signing": len(e.Signing) > 0, "/transform": e.Transform != "", "/secret": len(e.Secrets.Signing) > 0,
	} {
		if given {
			fields = append(fields, hub.Field{Pointer: pointer, Detail: "is for channels of kind webhook only"})
		}
	}
	return fields
}

// Create makes a channel.
func (c *channels) Create(ctx context.Context, p hub.Principal, e *hub.Endpoint, idem api.Idempotency) (out api.Channel, secret string, err error) {
	if !p.Can("alert_channels:create") {
		return out, "", hub.E(hub.Forbidden, "this needs the permission alert_channels:create")
	}
	if e.Kind == hub.KindWebhook && len(e.Secrets.Signing) == 0 {
		e.Secrets.Signing = []hub.SigningSecret{{Text: sign.NewSecret()}}
	}
	if err := c.validate(ctx, e); err != nil {
		return out, "", err
	}
	if len(e.Secrets.Signing) > 0 {
		secret = e.Secrets.Signing[0].Text
	}
	e.ID, e.Tenant, e.Version = hub.EndpointID(ident.New(hub.PrefixChannel)), p.Tenant, 1
	e.CreatedAt = hub.Truncate(c.st.Now())
	e.UpdatedAt = e.CreatedAt
	err = c.st.Do(ctx, func(tx *store.Tx) error {
		if err := recall(tx, p.Tenant, idem); err != nil {
			return err
		}
		all, err := tx.Endpoints(p.Tenant)
		if err != nil {
			return err
		}
		if len(all) >= maxWebhooks {
			return hub.E(hub.Conflict, fmt.Sprintf("there are %d endpoints already, which is as many as there can be", len(all)))
		}
		tx.Audit(channelEntry(p, "alert_channel.create", e))
		if err := tx.PutEndpoint(e, store.OriginAPI); err != nil {
			return err
		}
		return remember(tx, p.Tenant, idem, secret)
	})
	if err != nil {
		return out, "", err
	}
	return c.shown(e, store.OriginAPI), secret, c.inForce(ctx)
}

func channelEntry(p hub.Principal, action string, e *hub.Endpoint) hub.AuditEntry {
	entry := hub.Audited(p, action, "alert_channel", string(e.ID))
	entry.Details = new(hub.Details).Str("enabled", fmt.Sprint(e.Enabled)).Strs("events", e.Events).Str("kind", e.Kind).Str("name", e.Name).
		Str("url", e.ShownURL()).Int("version", e.Version).Value()
	return entry
}

// inForce makes a change hold from now on.
func (c *channels) inForce(ctx context.Context) error {
	if err := c.rules.reload(ctx); err != nil {
		return err
	}
	c.poke()
	return nil
}

// Update changes a channel. One that is enabled again gets what was held.
func (c *channels) Update(ctx context.Context, p hub.Principal, id hub.EndpointID, ifMatch int64, change func(*hub.Endpoint) error) (out api.Channel, err error) {
	if !p.Can("alert_channels:update") {
		return out, hub.E(hub.Forbidden, "this needs the permission alert_channels:update")
	}
	var e *hub.Endpoint
	err = c.st.View(ctx, func(r *store.Reader) error {
		e, err = own(r, p.Tenant, id)
		return err
	})
	if err != nil {
		return out, err
	}
	version, was := e.Version, *e
	if ifMatch != 0 && ifMatch != version {
		return out, hub.E(hub.Precondition, fmt.Sprintf("the channel is at version %d, not %d; read it again", version, ifMatch))
	}
	if err := change(e); err != nil {
		return out, err
	}
	if err := c.validate(ctx, e); err != nil {
		return out, err
	}
	e.Version, e.UpdatedAt = version+1, hub.Truncate(c.st.Now())
	err = c.st.Do(ctx, func(tx *store.Tx) error {
		now, err := own(&tx.Reader, p.Tenant, id)
		if err != nil {
			return err
		}
		if now.Version != version {
			return hub.E(hub.Conflict, "the channel was changed by someone else meanwhile; read it again")
		}
		tx.Audit(channelEntry(p, "alert_channel.update", e))
		if was.Enabled != e.Enabled || !equalPlaces(&was, e) { // it is tried again as if it had never failed
			if err := c.rules.putBreaker(tx, e.Tenant, e.ID, nil); err != nil {
				return err
			}
		}
		return tx.PutEndpoint(e, store.OriginAPI)
	})
	if err != nil {
		return out, err
	}
	err = c.inForce(ctx)
	return c.shown(e, store.OriginAPI), err
}

// equalPlaces reports whether two versions of a channel send to the same place, in
// the same name.
func equalPlaces(a, b *hub.Endpoint) bool {
	return a.URL == b.URL && fmt.Sprint(a.Config) == fmt.Sprint(b.Config) && fmt.Sprint(a.Secrets) == fmt.Sprint(b.Secrets)
}

// Delete removes a channel, also from the alert rules. What was not delivered to
// it is over.
func (c *channels) Delete(ctx context.Context, p hub.Principal, id hub.EndpointID) error {
	if !p.Can("alert_channels:delete") {
		return hub.E(hub.Forbidden, "this needs the permission alert_channels:delete")
	}
	err := c.st.Do(ctx, func(tx *store.Tx) error {
		e, err := own(&tx.Reader, p.Tenant, id)
		if err != nil {
			return err
		}
		tx.Audit(channelEntry(p, "alert_channel.delete", e))
		if err := c.rules.putBreaker(tx, p.Tenant, id, nil); err != nil {
			return err
		}
		if err := withoutChannel(tx, p, id); err != nil {
			return err
		}
		return tx.DeleteEndpoint(p.Tenant, id)
	})
	if err != nil {
		return err
	}
	return c.inForce(ctx)
}

// Test sends a test message now and tells how it went. An incident that it opens
// at PagerDuty is closed again.
func (c *channels) Test(ctx context.Context, p hub.Principal, id hub.EndpointID) (hub.Attempt, error) {
	if !p.Can("alert_channels:update") {
		return hub.Attempt{}, hub.E(hub.Forbidden, "this needs the permission alert_channels:update")
	}
	ch, err := c.Channel(ctx, p.Tenant, id)
	if err != nil {
		return hub.Attempt{}, err
	}
	for _, a := range c.addresses(ch.Endpoint) {
		if err := a.check(ctx); err != nil {
			return hub.Attempt{}, invalid([]hub.Field{{Pointer: a.pointer, Detail: reason(err)}})
		}
	}
	w := &webhooks{st: c.st, source: c.source, timeout: c.timeout, send: c.sender(ch.Kind)}
	return w.try(ctx, p, ch.Endpoint, "alert_channel")
}

// sender gives what makes the attempt of a trial.
func (c *channels) sender(kind string) func(context.Context, *hub.Endpoint, *hub.Delivery) (hub.Attempt, error) {
	target := c.targets[kind]
	switch {
	case kind == hub.KindElastic:
		return c.look
	case kind != hub.KindPagerDuty:
		return target.Send
	}
	return func(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
		a, err := target.Send(ctx, e, d)
		if err == nil {
			over := *d
			over.Action = hub.ActionResolve
			_, err = target.Send(ctx, e, &over)
		}
		return a, err
	}
}

// look asks an Elasticsearch how it is, which takes the same way and log-in as
// documents do.
func (c *channels) look(ctx context.Context, e *hub.Endpoint, _ *hub.Delivery) (hub.Attempt, error) {
	x := relay.NewExchange(c.client, e)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(e.URL, "/")+"/_cluster/health", nil)
	if err != nil {
		return x.Attempt, hub.E(hub.Invalid, "the URL of the Elasticsearch is wrong")
	}
	if key := e.Secrets.Tokens["api_key"]; key != "" {
		req.Header.Set("Authorization", "ApiKey "+key)
	} else if user := e.Config["username"]; user != "" {
		req.SetBasicAuth(user, e.Secrets.Tokens["password"])
	}
	res, err := x.Client().Do(req)
	if err != nil {
		return x.Attempt, x.Failure()
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode/100 == 2:
		return x.Attempt, nil
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return x.Attempt, hub.E(hub.Invalid, fmt.Sprintf("Elasticsearch answered %d; check the log-in and that it may monitor the cluster", res.StatusCode))
	}
	return x.Attempt, hub.E(hub.Transient, fmt.Sprintf("Elasticsearch answered %d", res.StatusCode))
}

// helloName is what the hub calls itself to mail servers: its own name, if it has
// one that others know.
func helloName(base string) string {
	u, err := url.Parse(base)
	if err != nil || !strings.Contains(u.Hostname(), ".") {
		return ""
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ""
	}
	return u.Hostname()
}

// badTemplate tells of a template that failed; the built-in text was used.
func (a *App) badTemplate(e *hub.Endpoint, name string, ev *hub.Event, err error) {
	a.log.Warn("template failed; the built-in text was used", "endpoint", e.ID, "template", name, "event", ev.ID, "error", err)
}

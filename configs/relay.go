package configs

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// Relay is the section relay.
type Relay struct {
	AllowNetworks []netip.Prefix  `yaml:"allow_networks" doc:"Private networks that deliveries may go to. All others are refused: private, loopback, link-local and metadata addresses."`
	Workers       int             `yaml:"workers" min:"1" max:"1024" doc:"Deliveries under way at a time."`
	Timeout       time.Duration   `yaml:"timeout" min:"100ms" max:"5m" doc:"How long one attempt may take, answer included."`
	Schedule      []time.Duration `yaml:"schedule" min:"100ms" max:"7d" doc:"The wait before each further attempt. After the last one the delivery is dead."`
	Jitter        float64         `yaml:"jitter" min:"0" max:"1" doc:"By what part each wait varies, so that failed deliveries do not come back all at once."`
	Breaker       int             `yaml:"breaker" min:"0" max:"1000" doc:"After so many failed attempts in a row, or when four fifths of the last fifty failed, the events for an endpoint are held, and one of them is sent now and then until the endpoint takes it. 0 for never."`
	ProbeAfter    time.Duration   `yaml:"probe_after" min:"100ms" max:"1h" doc:"When a failing endpoint is first tried again; each wait is twice the one before."`
	ProbeMax      time.Duration   `yaml:"probe_max" min:"100ms" max:"24h" doc:"The longest wait between two such attempts."`
	Proxy         secret.Secret   `yaml:"proxy" doc:"An HTTP proxy for all requests to far sides, such as http://user:password@proxy.example.com:3128. Proxies in the environment are not used. What is allowed is judged here all the same: the proxy is told addresses, not names."`
	UserAgent     string          `yaml:"user_agent" doc:"What the hub calls itself in requests."`
}

// An Endpoint is an entry of the section endpoints. Which fields it takes
// depends on its kind.
type Endpoint struct {
	Name           string                   `yaml:"name" doc:"Unique; playbooks refer to it. 1 to 63 of a-z, 0-9, - and _."`
	Kind           string                   `yaml:"kind" enum:"webhook,slack,pagerduty,email,elasticsearch" doc:"What stands at the far side."`
	Description    string                   `yaml:"description" doc:"For people."`
	Enabled        bool                     `yaml:"enabled" doc:"Send to it."`
	URL            string                   `yaml:"url" doc:"Where to send: the receiver, Slack's incoming webhook, or the cluster."`
	APIURL         string                   `yaml:"api_url" doc:"In place of the service's own address, such as PagerDuty's for the EU."`
	Events         []string                 `yaml:"events" doc:"Event types, * matches anything but a dot. Empty for only what playbooks send."`
	Filter         string                   `yaml:"filter" doc:"Expression over the event; false keeps it from being sent."`
	Transform      string                   `yaml:"transform" doc:"Expression that gives the body in place of the event."`
	Headers        map[string]secret.Secret `yaml:"headers" key:"header" doc:"Sent along with every request."`
	Secret         secret.Secret            `yaml:"secret" doc:"The key of the signatures: whsec_ and 24 to 64 random bytes in base64. After a change the old one signs beside it for 24 hours."`
	KeyPair        secret.Secret            `yaml:"key_pair" doc:"An ed25519 key pair for v1a signatures beside the others: whsk_ and its seed, 32 bytes, in base64. Receivers need only its public half, which the API shows."`
	Signing        []Signing                `yaml:"signing" doc:"Signatures put beside the standard one, for receivers that know another."`
	Ordering       string                   `yaml:"ordering" enum:"none,key" doc:"key sends the events of one alert in order, one after the other."`
	RateLimit      int                      `yaml:"rate_limit" min:"0" max:"100000" doc:"Requests a second; 0 for no limit."`
	Timeout        time.Duration            `yaml:"timeout" min:"100ms" max:"5m" doc:"In place of relay.timeout."`
	Retry          *Retry                   `yaml:"retry" doc:"In place of relay.schedule and relay.jitter."`
	Channel        string                   `yaml:"channel" doc:"Slack channel: an id, or a name with # in quotes."`
	BotToken       secret.Secret            `yaml:"bot_token" doc:"Slack bot token, in place of url. With it messages can be updated and threaded."`
	SigningSecret  secret.Secret            `yaml:"signing_secret" doc:"Signing secret of the Slack app, by which the buttons of its messages are heard. Without it they have none."`
	RoutingKey     secret.Secret            `yaml:"routing_key" doc:"PagerDuty integration key, 32 characters."`
	WebhookSecrets []secret.Secret          `yaml:"webhook_secrets" doc:"The secrets of PagerDuty's webhook subscriptions, by which what is done with an incident there is seen here. Two while one is changed."`
	Namespace      string                   `yaml:"namespace" doc:"Last part of the names of data streams; lower case, no -. Empty for default."`
	Setup          bool                     `yaml:"setup" doc:"Install templates, pipeline and lifecycle at first use. Otherwise run tocsin elastic setup."`
	Pipeline       bool                     `yaml:"pipeline" doc:"Let an ingest pipeline stamp event.ingested. Otherwise the hub does, by its own clock: only for clusters without ingest processors."`
	Streams        []string                 `yaml:"streams" enum:"alerts,findings,audit" doc:"What is written: alerts is each change of an alert and how it stands now, findings is each finding as it was normalised, audit is the audit log with its hashes."`
	Retention      *Retention               `yaml:"retention" doc:"How long Elasticsearch keeps each data stream. Without it for ever."`
	APIKey         secret.Secret            `yaml:"api_key" doc:"Elasticsearch API key in its encoded form."`
	Username       string                   `yaml:"username" doc:"In place of api_key; for mail servers that ask for it."`
	Password       secret.Secret            `yaml:"password" doc:"Belongs to username."`
	Host           string                   `yaml:"host" doc:"The mail server: its name or address."`
	Port           int                      `yaml:"port" min:"1" max:"65535" doc:"Its port. Without it 587, or 465 with tls: tls, or 25 with tls: none."`
	TLS            string                   `yaml:"tls" enum:"starttls,tls,none" doc:"How mail is encrypted on its way: starttls demands it after the greeting, tls is encrypted from the first byte, none is for a server in a network that you trust. Empty for starttls."`
	From           string                   `yaml:"from" doc:"Who mails come from, such as Tocsin <tocsin@example.com>."`
	To             []string                 `yaml:"to" doc:"Who gets them; at most 50."`
	Digest         time.Duration            `yaml:"digest" max:"7d" doc:"One mail for all that comes within this time, counted from midnight UTC. 0 for a mail each; bursts are one mail either way."`
	Templates      map[string]string        `yaml:"templates" key:"text" doc:"Texts in place of the built-in ones, as Go templates over event and alert: subject, title and body of an email, text of a Slack message, summary at PagerDuty."`
}

// Retention is how long Elasticsearch keeps data streams.
type Retention struct {
	Alerts   time.Duration `yaml:"alerts" min:"1h" max:"36500d" doc:"Changes of alerts; 0 for ever."`
	Findings time.Duration `yaml:"findings" min:"1h" max:"36500d" doc:"Findings; 0 for ever."`
	Audit    time.Duration `yaml:"audit" min:"1h" max:"36500d" doc:"The copy of the audit log; 0 for ever."`
}

// Signing is a signature put beside the standard one.
type Signing struct {
	Type   string `yaml:"type" enum:"hex,timestamped" doc:"hex is the hex HMAC-SHA256 of the body, timestamped is t=…,v1=…."`
	Header string `yaml:"header" doc:"The header that carries it, such as X-CV-Signature."`
	Prefix string `yaml:"prefix" doc:"Put in front, such as sha256=."`
}

// Retry says when a failed delivery is tried again: after each wait of
// Schedule, or after waits that grow from Initial by Factor up to Max.
type Retry struct {
	Schedule []time.Duration `yaml:"schedule" min:"100ms" max:"7d" doc:"The wait before each further attempt."`
	Jitter   *float64        `yaml:"jitter" min:"0" max:"1" doc:"By what part each wait varies. Without it relay.jitter holds."`
	Initial  time.Duration   `yaml:"initial" min:"100ms" max:"7d" doc:"In place of schedule: the first wait."`
	Factor   float64         `yaml:"factor" min:"1" max:"100" doc:"Each wait is so many times the one before."`
	Max      time.Duration   `yaml:"max" min:"100ms" max:"7d" doc:"The longest wait."`
	Attempts int             `yaml:"attempts" min:"1" max:"1000" doc:"Attempts in all, the first one included."`
}

func (e *Endpoint) setDefaults() {
	e.Enabled, e.Ordering, e.Setup, e.Pipeline = true, "none", true, true
	e.Streams = []string{"alerts", "findings", "audit"}
}

// Hub gives the endpoint in the hub's terms. Id, tenant, version and times are
// the caller's.
func (e *Endpoint) Hub() hub.Endpoint {
	out := hub.Endpoint{
		Kind: e.Kind, Name: e.Name, URL: e.URL, Description: e.Description, Enabled: e.Enabled,
		Events: e.Events, Filter: e.Filter, Transform: e.Transform, Ordering: e.Ordering,
		RateLimit: e.RateLimit, Timeout: hub.Duration(e.Timeout), Retry: e.Retry.hub(), Templates: e.Templates,
		Config: given("channel", e.Channel, "api_url", e.APIURL, "namespace", e.Namespace, "username", e.Username),
		Secrets: hub.EndpointSecrets{Tokens: given(
			"bot_token", e.BotToken.Reveal(), "signing_secret", e.SigningSecret.Reveal(), "routing_key", e.RoutingKey.Reveal(),
			"api_key", e.APIKey.Reveal(), "password", e.Password.Reveal(), "webhook_secrets", revealed(e.WebhookSecrets))},
	}
	if e.Kind == hub.KindElastic {
		e.elastic(out.Config)
	}
	if e.Kind == hub.KindEmail {
		e.email(out.Config)
	}
	if len(e.Headers) > 0 {
		out.Headers = make(map[string]string, len(e.Headers))
	}
	for name, value := range e.Headers {
		out.Headers[name] = value.Reveal()
	}
	for _, s := range e.Signing {
		out.Signing = append(out.Signing, hub.SigningScheme(s))
	}
	for _, s := range []secret.Secret{e.Secret, e.KeyPair} {
		if text := s.Reveal(); text != "" {
			out.Secrets.Signing = append(out.Secrets.Signing, hub.SigningSecret{Text: text})
		}
	}
	return out
}

// elastic puts what only Elasticsearch takes into config, but for defaults.
func (e *Endpoint) elastic(config map[string]string) {
	if !e.Setup {
		config["setup"] = "false"
	}
	if !e.Pipeline {
		config["pipeline"] = "false"
	}
	if len(e.Streams) < 3 {
		config["streams"] = strings.Join(e.Streams, " ")
	}
	if r := e.Retention; r != nil {
		maps.Copy(config, given("retention_alerts", age(r.Alerts), "retention_findings", age(r.Findings), "retention_audit", age(r.Audit)))
	}
}

// age writes a time as Elasticsearch reads it; "" for none.
func age(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

// revealed gives the texts of secrets, none of which holds a space.
func revealed(all []secret.Secret) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.Reveal()
	}
	return strings.Join(texts, " ")
}

// given makes a map of name and value pairs and leaves out empty values.
func given(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

func (r *Retry) hub() *hub.RetryPolicy {
	if r == nil {
		return nil
	}
	out := &hub.RetryPolicy{ // what was left out takes relay's own defaults
		Jitter: r.Jitter, Initial: hub.Duration(r.Initial), Factor: r.Factor,
		Max: hub.Duration(r.Max), Attempts: r.Attempts,
	}
	for _, d := range r.Schedule {
		out.Schedule = append(out.Schedule, hub.Duration(d))
	}
	return out
}

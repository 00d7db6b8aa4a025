package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/pipelines"
	"github.com/tocsin/tocsin/pipelines/dedup"
	"github.com/tocsin/tocsin/relay/slack"
)

// slackSide is what the hub does with Slack beside sending deliveries: it carries
// out what people press, keeps cards up to date, and installs the app.
type slackSide struct {
	st       *store.Store
	rules    *ruler
	pipeline *pipelines.Pipeline
	cluster  *cluster
	target   *slack.Target
	app      *configs.Slack
	base     string // the hub's own address
	key      []byte // of the states of installations
	log      *slog.Logger
	channels *channels

	poke     chan struct{}  // tells that a card may lag behind
	whispers sync.WaitGroup // under way

	mu     sync.Mutex // guards people
	people map[string]known
}

var _ api.Slack = (*slackSide)(nil)

// known is who somebody was when they were asked for.
type known struct {
	slack.Person
	at time.Time
}

func newSlackSide(a *App) *slackSide {
	key := sha256.Sum256([]byte("tocsin slack installation\n" + a.cfg.Slack.ClientSecret.Reveal()))
	return &slackSide{
		st: a.st, rules: a.rules, pipeline: a.pipeline, cluster: a.cluster, target: a.targets[hub.KindSlack].(*slack.Target), app: &a.cfg.Slack,
		base: a.cfg.Server.BaseURL(), key: key[:], log: a.log, poke: make(chan struct{}, 1), people: map[string]known{},
		channels: &channels{
			st: a.st, rules: a.rules, source: a.cfg.Server.BaseURL(), poke: a.steward.poke, client: a.client, targets: a.targets, timeout: a.cfg.Relay.Timeout,
		},
	}
}

// hears reports whether what is pressed at an endpoint's messages comes back to the
// hub, so far as it can know.
func hears(c *configs.Slack) func(e *hub.Endpoint) bool {
	return func(e *hub.Endpoint) bool {
		return e.Secrets.Tokens[slack.SigningSecret] != "" || e.Config[slack.Team] != "" && !c.SigningSecret.IsZero()
	}
}

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

// Interact carries out what somebody pressed; see api.Slack.
func (s *slackSide) Interact(ctx context.Context, r api.IngestRequest) error {
	from := s.senders(r)
	if len(from) == 0 {
		return hub.E(hub.Unauthorized, "no Slack app that the hub knows signed the request within the last five minutes; check the signing secret")
	}
	in, err := slack.ReadInteraction(r.Body)
	if err != nil || in.Type != "block_actions" {
		return err
	}
	from = slices.DeleteFunc(from, func(e *hub.Endpoint) bool { team := e.Config[slack.Team]; return team != "" && team != in.Team })
	for i, id := range in.Actions {
		action, ours := slack.ParseAction(id)
		if !ours {
			continue // a link
		}
		c := &click{slackSide: s, in: in, action: action, key: fmt.Sprintf("slack %x %d", sha256.Sum256(r.Body), i)}
		if err := c.carryOut(ctx, from, r); err != nil {
			return err
		}
		if c.word != "" {
			s.whisper(ctx, in.Answer, c.word)
		}
	}
	return nil
}

// senders gives the Slack endpoints of the apps that signed a request: those that
// have the secret themselves, and those that were installed over the hub if its
// own app did.
func (s *slackSide) senders(r api.IngestRequest) (from []*hub.Endpoint) {
	now := s.st.Now()
	own := slack.Verify(s.app.SigningSecret.Reveal(), r.Header, r.Body, now)
	for _, e := range s.rules.all() {
		if e.Kind != hub.KindSlack || e.Secrets.Tokens[slack.Token] == "" {
			continue
		}
		secret := e.Secrets.Tokens[slack.SigningSecret]
		if secret != "" && slack.Verify(secret, r.Header, r.Body, now) || secret == "" && own && e.Config[slack.Team] != "" {
			from = append(from, e)
		}
	}
	slices.SortFunc(from, func(a, b *hub.Endpoint) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return from
}

// whisperLimit is how long a word may take on its way to a person.
const whisperLimit = 10 * time.Second

// whisper says something to the person of an interaction, after it was answered:
// Slack waits three seconds only.
func (s *slackSide) whisper(ctx context.Context, answer, text string) {
	if answer == "" {
		return
	}
	s.whispers.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), whisperLimit)
		defer cancel()
		if err := s.target.Whisper(ctx, answer, text); err != nil {
			s.log.Warn("a word for somebody at Slack was not taken", "error", err)
		}
	})
}

// A click is one button that was pressed, while it is carried out.
type click struct {
	*slackSide
	in     slack.Interaction
	action slack.Action
	key    string

	endpoint *hub.Endpoint
	posting  hub.Posting
	posted   bool // posting is there
	by       hub.Principal
	word     string // for the person alone
}

// deeds are what buttons can ask for.
var deeds = map[string]dedup.ActionKind{slack.Acknowledge: dedup.Acknowledge, slack.Resolve: dedup.Resolve}

func (c *click) carryOut(ctx context.Context, from []*hub.Endpoint, r api.IngestRequest) error {
	found, err := c.locate(ctx, from)
	if err != nil || !found {
		c.word = "This hub does not know what this message is about any more."
		return err
	}
	person := c.person(ctx)
	c.by = c.principal(person, r)
	if person.Outside || c.in.UserTeam != "" && c.in.Team != "" && c.in.UserTeam != c.in.Team {
		return c.refuse(ctx, "Only members of this workspace may do that.")
	}
	carry := c.deed()
	if carry == nil {
		return c.refuse(ctx, "This hub does not know what to do with that button.")
	}
	moved := false
	err = c.pipeline.Change(ctx, func(change *pipelines.Change) (err error) {
		moved, err = carry(change)
		return err
	})
	if moved {
		c.remind()
	}
	return err
}

// decisions are what buttons can answer.
var decisions = map[string]hub.Decision{slack.Approve: hub.Approve, slack.Deny: hub.Deny}

// deed is what the button asks for; nil if the hub does not know it.
func (c *click) deed() func(change *pipelines.Change) (bool, error) {
	if c.ofApproval() {
		if d, known := decisions[c.action.Name]; known {
			return func(change *pipelines.Change) (bool, error) { return c.answer(change, d) }
		}
		return nil
	}
	if kind, known := deeds[c.action.Name]; known {
		return func(change *pipelines.Change) (bool, error) { return c.act(change, kind) }
	}
	return nil
}

func (c *click) ofApproval() bool { return strings.HasPrefix(c.action.Subject, hub.PrefixApproval) }

// answer gives the answer of the button, in one transaction with the memory of it.
// It reports whether the message is to be changed.
func (c *click) answer(change *pipelines.Change, d hub.Decision) (moved bool, err error) {
	tx := change.Tx().(pipelineTx).Tx
	c.word = ""
	fresh, err := tx.Receive(c.by.Tenant, c.endpoint.ID, c.key, hub.Truncate(tx.Now()))
	if err != nil || !fresh {
		return false, err
	}
	outcome := hub.AuditSuccess
	_, err = change.Answer(c.by, hub.ApprovalID(c.action.Subject), d, "")
	if pipelines.Refused(err) {
		word := []rune(reason(err))
		c.word, outcome = strings.ToUpper(string(word[:1]))+string(word[1:])+".", hub.AuditDenied
		if hub.KindOf(err) == hub.Forbidden && c.by.Email == "" {
			c.word += " Slack did not tell your address; if it is among them, try again, or let the app have users:read.email."
		}
		err = nil
	}
	if err != nil {
		return false, err
	}
	tx.Audit(c.entry(outcome, c.word))
	return outcome == hub.AuditSuccess, nil
}

// locate finds the endpoint whose message was pressed: the one that posted it, or,
// where nothing was recorded of it, one whose tenant has the alert.
func (c *click) locate(ctx context.Context, from []*hub.Endpoint) (found bool, err error) {
	id := hub.AlertID(c.action.Subject)
	err = c.st.View(ctx, func(r *store.Reader) error {
		for _, e := range from {
			p, there, err := r.PostingAt(e.Tenant, e.ID, c.in.Place, c.in.Message)
			if err != nil {
				return err
			}
			if there && p.Alert == id {
				c.endpoint, c.posting, c.posted = e, p, true
				return nil
			}
		}
		for _, e := range from {
			there, err := c.known(r, e)
			if err != nil {
				return err
			}
			if there {
				c.endpoint = e
				return nil
			}
		}
		return nil
	})
	return c.endpoint != nil, err
}

// known reports whether an endpoint's tenant has what the button is about. An
// approval is answered only where it was asked: whoever has the secret of another
// app does not speak for the people there.
func (c *click) known(r *store.Reader, e *hub.Endpoint) (bool, error) {
	if c.ofApproval() {
		a, err := r.Approval(e.Tenant, hub.ApprovalID(c.action.Subject))
		if hub.KindOf(err) == hub.NotFound {
			return false, nil
		}
		return err == nil && slices.Contains(a.Channels, e.ID), err
	}
	id := hub.AlertID(c.action.Subject)
	all, err := r.Alerts(e.Tenant, []hub.AlertID{id})
	return all[id] != nil, err
}

// personLimit is how long is waited for who somebody is, and rememberPerson for how
// long it holds.
const (
	personLimit    = 1200 * time.Millisecond
	rememberPerson = 10 * time.Minute
	mostPeople     = 10_000
)

// person asks who pressed. Where the token may not know, or Slack does not say it
// in time, it is the user's id alone.
func (c *click) person(ctx context.Context) slack.Person {
	key := string(c.endpoint.ID) + " " + c.in.User
	now := c.st.Now()
	c.mu.Lock()
	k, there := c.people[key]
	c.mu.Unlock()
	if there && now.Sub(k.at) < rememberPerson {
		return k.Person
	}
	ctx, cancel := context.WithTimeout(ctx, personLimit)
	defer cancel()
	p, err := c.target.Person(ctx, c.endpoint, c.in.User)
	if err != nil {
		c.log.Debug("Slack does not say who somebody is", "user", c.in.User, "error", err)
		if p = (slack.Person{Name: c.in.UserName}); hub.KindOf(err) != hub.Invalid { // else it will not later either
			return p
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.people) >= mostPeople {
		clear(c.people)
	}
	c.people[key] = known{p, now}
	return p
}

// principal is the person as the audit log and timelines name them.
func (c *click) principal(person slack.Person, r api.IngestRequest) hub.Principal {
	p := hub.Principal{
		Tenant: c.endpoint.Tenant, Type: hub.ActorUser, ID: "slack:" + c.in.Team + ":" + c.in.User, Email: person.Email, Label: person.Email,
		Permissions: []string{"alerts:update"}, IP: r.IP, Method: r.Method, Path: api.SlackInteractions,
	}
	if name := []rune(strings.Join(strings.Fields(person.Name), " ")); p.Label == "" && len(name) > 0 {
		p.Label = string(name[:min(len(name), maxLabel)]) + " (Slack)"
	}
	if ua := r.Header["User-Agent"]; len(ua) > 0 {
		p.UserAgent = ua[0]
	}
	return p
}

// refuse tells the person, and the audit log, that they may not.
func (c *click) refuse(ctx context.Context, word string) error {
	c.word = word
	return c.st.Do(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Receive(c.by.Tenant, c.endpoint.ID, c.key, hub.Truncate(tx.Now()))
		if err == nil && fresh {
			tx.Audit(c.entry(hub.AuditDenied, word))
		}
		return err
	})
}

func (c *click) entry(outcome hub.AuditOutcome, note string) hub.AuditEntry {
	e := hub.Audited(c.by, "slack.interaction", "channel", string(c.endpoint.ID))
	e.Outcome = outcome
	what := "alert"
	if c.ofApproval() {
		what = "approval"
	}
	e.Details = new(hub.Details).Str("action", c.action.Name).Str(what, c.action.Subject).Int("generation", c.action.Generation).
		Str("message", c.in.Place+"/"+c.in.Message).Str("note", note).Value()
	return e
}

// act does to the alert what the button asks for, in one transaction with the
// memory of it. It reports whether its card is to be changed.
func (c *click) act(change *pipelines.Change, kind dedup.ActionKind) (moved bool, err error) {
	tx := change.Tx().(pipelineTx).Tx
	c.word = ""
	fresh, err := tx.Receive(c.by.Tenant, c.endpoint.ID, c.key, hub.Truncate(tx.Now()))
	if err != nil || !fresh {
		return false, err
	}
	id := hub.AlertID(c.action.Subject)
	all, err := tx.Alerts(c.by.Tenant, []hub.AlertID{id})
	a := all[id]
	switch {
	case err != nil:
		return false, err
	case a == nil:
		c.word = "This hub does not know the alert of this message any more."
	default:
		c.word = already(a, c.action, kind)
	}
	var after *hub.Alert
	if c.word == "" {
		if after, _, err = change.Act(c.by, id, dedup.Action{Kind: kind, Note: "at Slack"}, 0); err == nil {
			a = after
		}
	}
	switch hub.KindOf(err) {
	case "":
	case hub.NotFound, hub.Conflict, hub.Invalid:
		c.word, err = "That was not done: "+reason(err)+".", nil
	default:
		return false, err
	}
	tx.Audit(c.entry(hub.AuditSuccess, c.word))
	return c.posted && a != nil, c.lag(tx, a)
}

// already says why a button has nothing to do; "" if it has.
func already(a *hub.Alert, action slack.Action, kind dedup.ActionKind) string {
	by := ""
	switch {
	case a.Generation != action.Generation:
		return "This message is about an earlier life of the alert, which has come back since. Please use its newest message."
	case a.Status == hub.AlertResolved || a.Status == hub.AlertDismissed:
		return "The alert is " + string(a.Status) + " already."
	case kind == dedup.Acknowledge && a.Status == hub.AlertInvestigating:
		if a.AcknowledgedBy != "" {
			by = " by " + a.AcknowledgedBy
		}
		return "The alert is acknowledged already" + by + "."
	}
	return ""
}

// lag notes that the card must show the alert as it is now: its endpoint may not be
// sent the event of the change.
func (c *click) lag(tx *store.Tx, a *hub.Alert) error {
	if !c.posted || c.posting.Summary || a == nil || a.Generation != c.posting.Generation {
		return nil
	}
	p := c.posting
	p.Wanted = max(p.Wanted, a.Version)
	return tx.PutPosting(&p)
}

// remind wakes who brings cards up to date.
func (s *slackSide) remind() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// digestOf names a text without holding it.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

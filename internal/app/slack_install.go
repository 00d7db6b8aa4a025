package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/internal/store"
	"github.com/tocsin/tocsin/relay/slack"
)

// installLimit is how long a person has to come back from Slack.
const installLimit = 10 * time.Minute

// A state goes with the browser to Slack and comes back. It is signed, counts once,
// and only together with the cookie that was given with it.
type state struct {
	Nonce   string        `json:"n"`
	Expires int64         `json:"e"` // in seconds
	Cookie  string        `json:"b"` // its digest
	Tenant  hub.TenantID  `json:"t"`
	Type    hub.ActorType `json:"y"`
	ID      string        `json:"i"`
	Email   string        `json:"m,omitempty"`
	Channel string        `json:"c,omitempty"`
	Name    string        `json:"a,omitempty"`
}

var urlText = base64.RawURLEncoding

func (s *slackSide) sign(text string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text))
	return urlText.EncodeToString(mac.Sum(nil))
}

func (s *slackSide) seal(st *state) (string, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return "", err
	}
	text := urlText.EncodeToString(b)
	return text + "." + s.sign(text), nil
}

// open reads a state that the hub made and that has not expired.
func (s *slackSide) open(text string, now time.Time) (*state, error) {
	wrong := hub.E(hub.Malformed, "this is no installation that the hub began; start it again")
	body, signature, ok := strings.Cut(text, ".")
	if !ok || !hmac.Equal([]byte(signature), []byte(s.sign(body))) {
		return nil, wrong
	}
	b, err := urlText.DecodeString(body)
	st := new(state)
	if err != nil || json.Unmarshal(b, st) != nil {
		return nil, wrong
	}
	if now.Unix() >= st.Expires {
		return nil, hub.E(hub.Forbidden, "the installation took more than ten minutes; start it again")
	}
	return st, nil
}

func (s *slackSide) redirect() string { return s.base + api.SlackCallback }

// Start begins an installation; see api.Slack.
func (s *slackSide) Start(_ context.Context, p hub.Principal, want api.SlackInstall) (out api.SlackStarted, err error) {
	switch {
	case !p.Can("alert_channels:create"):
		return out, hub.E(hub.Forbidden, "this needs the permission alert_channels:create")
	case !s.app.Installs():
		return out, hub.E(hub.Conflict, "the hub is no app at Slack yet; set slack.client_id, client_secret and signing_secret in the config file, or give an endpoint a bot token")
	}
	out.Until = s.st.Now().Add(installLimit)
	out.Cookie = rand.Text()
	text, err := s.seal(&state{
		Nonce: rand.Text(), Expires: out.Until.Unix(), Cookie: digestOf(out.Cookie), Tenant: p.Tenant, Type: p.Type, ID: p.ID, Email: p.Email,
		Channel: want.Channel, Name: want.Name,
	})
	out.URL = slack.Authorize(s.app.Address(), s.app.ClientID, s.redirect(), text, want.Channel == "")
	return out, err
}

// Finish makes a channel of an installation; see api.Slack.
func (s *slackSide) Finish(ctx context.Context, back api.SlackReturn) (out api.Channel, err error) {
	if !s.app.Installs() {
		return out, hub.E(hub.NotFound, "the hub is no app at Slack")
	}
	st, err := s.open(back.State, s.st.Now())
	if err != nil {
		return out, err
	}
	if subtle.ConstantTimeCompare([]byte(st.Cookie), []byte(digestOf(back.Cookie))) != 1 {
		return out, hub.E(hub.Forbidden, "another browser began this installation; start it again in this one")
	}
	by := hub.Principal{
		Tenant: st.Tenant, Type: st.Type, ID: st.ID, Email: st.Email, Permissions: []string{"alert_channels:create", "alert_channels:update"},
		IP: back.IP, UserAgent: back.UserAgent, Method: "GET", Path: api.SlackCallback,
	}
	if err := s.useOnce(ctx, st); err != nil {
		return out, err
	}
	if back.Error != "" || back.Code == "" {
		return out, hub.E(hub.Invalid, "Slack did not allow the installation; start it again and allow it there")
	}
	got, err := s.target.Exchange(ctx, s.app.Address(), s.app.ClientID, s.app.ClientSecret.Reveal(), back.Code, s.redirect())
	if err != nil {
		return out, err
	}
	return s.keep(ctx, by, st, got)
}

// useOnce refuses a state that was used.
func (s *slackSide) useOnce(ctx context.Context, st *state) error {
	fresh := false
	err := s.st.Do(ctx, func(tx *store.Tx) (err error) {
		fresh, err = tx.Receive(st.Tenant, "slack-install", st.Nonce, hub.Truncate(tx.Now()))
		return err
	})
	if err == nil && !fresh {
		err = hub.E(hub.Forbidden, "this installation was finished before; start another one")
	}
	return err
}

// keep makes a channel of what Slack gave, or gives a new token to the one that
// there is for the same place.
func (s *slackSide) keep(ctx context.Context, by hub.Principal, st *state, got slack.Installed) (api.Channel, error) {
	channel := st.Channel
	if channel == "" {
		channel = got.Channel
	}
	if channel == "" {
		return api.Channel{}, hub.E(hub.Invalid, "no channel was chosen; start the installation again")
	}
	settings := map[string]string{"channel": channel, slack.Team: got.Team, slack.App: got.App}
	if s.app.URL != "" {
		settings["api_url"] = s.app.Address() + "/api/"
	}
	put := func(e *hub.Endpoint) error {
		e.Config, e.Enabled, e.Disabled = settings, true, ""
		e.Secrets.Tokens = map[string]string{slack.Token: got.Token}
		return nil
	}
	for _, e := range s.rules.all() {
		if e.Tenant == st.Tenant && e.Kind == hub.KindSlack && e.Config[slack.Team] == got.Team && e.Config["channel"] == channel {
			return s.channels.Update(ctx, by, e.ID, 0, put)
		}
	}
	e := &hub.Endpoint{Tenant: st.Tenant, Kind: hub.KindSlack, Name: s.nameFor(st, got.TeamName), Events: []string{"alert.*"}, Description: "Installed at Slack in " + got.TeamName}
	_ = put(e)
	out, _, err := s.channels.Create(ctx, by, e, api.Idempotency{})
	return out, err
}

// nameFor gives the name that was asked for, or a free one made of the workspace's.
func (s *slackSide) nameFor(st *state, team string) string {
	if st.Name != "" {
		return st.Name
	}
	word := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, team), "-")
	base := "slack-" + word[:min(len(word), 40)]
	name := base
	for n := 2; slices.ContainsFunc(s.rules.all(), func(e *hub.Endpoint) bool { return e.Tenant == st.Tenant && e.Name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	return name
}

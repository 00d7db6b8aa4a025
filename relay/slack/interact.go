package slack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// Headers of a request that Slack sends, and how old it may be.
const (
	signatureHeader = "X-Slack-Signature"
	timestampHeader = "X-Slack-Request-Timestamp"
	window          = 5 * time.Minute
)

// Verify reports whether Slack signed a request with the secret of an app, at a
// time within five minutes of now.
func Verify(secret string, header map[string][]string, body []byte, now time.Time) bool {
	h := http.Header(header)
	stamp := h.Get(timestampHeader)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if secret == "" || err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > window {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + stamp + ":"))
	mac.Write(body)
	want := "v0=" + hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(h.Get(signatureHeader)))
}

// An Interaction is what somebody did with a message.
type Interaction struct {
	Type     string // block_actions for a button
	Team     string // the workspace
	User     string
	UserTeam string
	UserName string
	Place    string   // the channel's id
	Message  string   // its time stamp
	Actions  []string // ids of what was pressed
	// Answer is where a word for that person alone can be sent, five times within
	// half an hour.
	Answer string
}

// ReadInteraction reads the body of a request to the interactions address: a form
// with a payload of JSON. Verify it first.
func ReadInteraction(body []byte) (Interaction, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("payload") == "" {
		return Interaction{}, hub.E(hub.Malformed, "this is no interaction: it has no form field payload")
	}
	var p struct {
		Type string `json:"type"`
		Team *struct {
			ID string `json:"id"`
		} `json:"team"`
		User struct {
			ID     string `json:"id"`
			TeamID string `json:"team_id"`
			Name   string `json:"name"`
		} `json:"user"`
		Container struct {
			ChannelID string `json:"channel_id"`
			MessageTS string `json:"message_ts"`
		} `json:"container"`
		Actions []struct {
			ActionID string `json:"action_id"`
		} `json:"actions"`
		ResponseURL string `json:"response_url"`
	}
	if err := json.Unmarshal([]byte(form.Get("payload")), &p); err != nil {
		return Interaction{}, hub.Wrap(hub.Malformed, err, "the payload is no interaction of Slack")
	}
	in := Interaction{
		Type: p.Type, User: p.User.ID, UserTeam: p.User.TeamID, UserName: p.User.Name, Place: p.Container.ChannelID, Message: p.Container.MessageTS,
		Answer: p.ResponseURL,
	}
	if p.Team != nil {
		in.Team = p.Team.ID
	}
	for _, a := range p.Actions {
		in.Actions = append(in.Actions, a.ActionID)
	}
	return in, nil
}

// Whisper says something to the person of an interaction alone.
func (t *Target) Whisper(ctx context.Context, answer, text string) error {
	x := relay.NewExchange(t.o.Client, &hub.Endpoint{}, secretPart(answer)...)
	err := api.PostWebhookCustomHTTPContext(ctx, answer, x.Client(), &api.WebhookMessage{
		ResponseType: api.ResponseTypeEphemeral, Text: escape(text, maxSection),
	})
	return judge(x, err)
}

// A Person is somebody at Slack.
type Person struct {
	Name  string
	Email string // "" if the token may not know
	// Outside says that they are no member of the workspace, or not any more.
	Outside bool
}

// Person asks who a user is. An error of kind [hub.Invalid] says that the token may
// not know.
func (t *Target) Person(ctx context.Context, e *hub.Endpoint, user string) (Person, error) {
	k, err := t.talk(e)
	if err != nil {
		return Person{}, err
	}
	u, err := k.api.GetUserInfoContext(ctx, user)
	if err := k.judged(err); err != nil {
		return Person{}, err
	}
	name := u.Profile.RealName
	if name == "" {
		name = u.Name
	}
	return Person{Name: strings.Join(strings.Fields(name), " "), Email: u.Profile.Email, Outside: u.IsStranger || u.Deleted || u.IsBot}, nil
}

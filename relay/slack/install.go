package slack

import (
	"context"
	"errors"
	"net/url"
	"strings"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
)

// Settings of an endpoint that was made by an install: its workspace, by which
// interactions find it, and the app.
const (
	Team = "team_id"
	App  = "app_id"
)

// scopes are what an installed app asks for: to post, also in public channels it
// is no member of; to look for what it may have posted already; to know who
// presses a button.
var scopes = []string{"chat:write", "chat:write.public", "channels:history", "groups:history", "users:read", "users:read.email"}

// chooseScope lets the person who installs the app choose a channel.
const chooseScope = "incoming-webhook"

// Authorize gives the address where a person allows the app. With choose they
// choose its channel there.
func Authorize(slack, clientID, redirect, state string, choose bool) string {
	wanted := scopes
	if choose {
		wanted = append(wanted[:len(wanted):len(wanted)], chooseScope)
	}
	return slack + "/oauth/v2/authorize?" + url.Values{
		"client_id": {clientID}, "scope": {strings.Join(wanted, ",")}, "redirect_uri": {redirect}, "state": {state},
	}.Encode()
}

// An Installed is what Slack gives for a code.
type Installed struct {
	Token    string
	Team     string
	TeamName string
	App      string
	Channel  string // that the person chose; "" if they were not asked
}

// Exchange exchanges a code for the app's token in a workspace.
func (t *Target) Exchange(ctx context.Context, slack, clientID, clientSecret, code, redirect string) (Installed, error) {
	r, err := api.GetOAuthV2ResponseContext(ctx, t.o.Client.HTTP(), clientID, clientSecret, code, redirect, api.OAuthOptionAPIURL(slack+"/api/"))
	var refused api.SlackErrorResponse
	switch {
	case errors.As(err, &refused) && isCode(refused.Err):
		return Installed{}, hub.E(hub.Invalid, "Slack does not install the app: "+refused.Err+installAdvice[refused.Err])
	case err != nil:
		return Installed{}, hub.Wrap(hub.Transient, err, "Slack did not answer; start the installation again")
	case r.TokenType != "bot" || !strings.HasPrefix(r.AccessToken, "xoxb-") || r.Team.ID == "":
		return Installed{}, hub.E(hub.Invalid, "Slack gave no bot token for a workspace; install the app in a workspace, not in a whole organisation, and without token rotation")
	}
	return Installed{Token: r.AccessToken, Team: r.Team.ID, TeamName: r.Team.Name, App: r.AppID, Channel: r.IncomingWebhook.ChannelID}, nil
}

// installAdvice says what to do about Slack's codes.
var installAdvice = map[string]string{
	"invalid_code":      "; start the installation again",
	"code_already_used": "; start the installation again",
	"bad_client_secret": "; check slack.client_secret",
	"invalid_client_id": "; check slack.client_id",
	"bad_redirect_uri":  "; enter the hub's address with /api/v1/integrations/slack/oauth-callback among the app's redirect URLs",
}

package slack

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// judge says what Slack's answer means. err is slack-go's; its texts may hold
// the webhook's URL, so that only its codes are used.
func judge(x *relay.Exchange, err error) error {
	status := x.Attempt.Status
	if status == 0 {
		return unsent(x, err)
	}
	var refused api.SlackErrorResponse
	switch {
	case status == http.StatusTooManyRequests:
		return &hub.Error{
			Kind: hub.RateLimited, Msg: "Slack asks for fewer messages (429)",
			RetryAfter: relay.RetryAfter(x.Header.Get("Retry-After"), time.Now()),
		}
	case status >= 500 || status == http.StatusRequestTimeout:
		return &hub.Error{
			Kind: hub.Transient, Msg: "Slack answered " + strconv.Itoa(status),
			RetryAfter: relay.RetryAfter(x.Header.Get("Retry-After"), time.Now()),
		}
	case errors.As(err, &refused):
		return codeError(x.Scrub(refused.Err))
	case status != http.StatusOK:
		return statusError(status, x.Attempt.Body)
	case x.Err != nil: // the answer broke off: taken or not, nobody knows
		return x.Failure()
	case err != nil:
		return hub.E(hub.Transient, "the answer is not Slack's; check the endpoint's URL")
	}
	return nil
}

// codeOf gives Slack's own word for a refusal; "" if err is none.
func codeOf(err error) string {
	var refused api.SlackErrorResponse
	if errors.As(err, &refused) && isCode(refused.Err) {
		return refused.Err
	}
	return ""
}

// unsent is for a request that got no answer, or never went out.
func unsent(x *relay.Exchange, err error) error {
	if failure := x.Failure(); failure != nil {
		return failure
	}
	return hub.Wrap(hub.Internal, errors.New(x.Scrub(err.Error())), "the message for Slack cannot be built")
}

// statusError is for an incoming webhook, which answers a code as plain text.
func statusError(status int, body string) error {
	if code := strings.TrimSpace(body); isCode(code) {
		e := codeError(code)
		if status == http.StatusGone {
			e.Kind = hub.Gone
		}
		return e
	}
	if status == http.StatusGone {
		return hub.E(hub.Gone, "Slack answered 410 Gone; make a new incoming webhook")
	}
	return hub.E(hub.Invalid, "Slack answered "+strconv.Itoa(status)+"; check the endpoint's URL")
}

// isCode keeps what a proxy may answer out of messages.
func isCode(s string) bool {
	return s != "" && len(s) <= 60 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// advice says what to do about Slack's error codes that people can mend.
var advice = map[string]string{
	"channel_not_found":                 "check the channel's id, and invite the app if the channel is private",
	"not_in_channel":                    "invite the app to the channel with /invite",
	"is_archived":                       "the channel is archived; choose another or unarchive it",
	"channel_is_archived":               "the channel is archived; choose another or unarchive it",
	"invalid_auth":                      "the bot token is not valid here; copy it again from the app's page, it starts with xoxb-",
	"not_authed":                        "the bot token is missing; copy it from the app's page, it starts with xoxb-",
	"account_inactive":                  "the token's app or user was removed; install the app again",
	"token_revoked":                     "the token was revoked; install the app again and set the new one",
	"token_expired":                     "the token has expired; set a new one, or turn token rotation off",
	"missing_scope":                     "give the app the scope chat:write and install it again",
	"not_allowed_token_type":            "use a bot token, it starts with xoxb-",
	"restricted_action":                 "a workspace setting forbids the app to post there; ask the workspace's owner",
	"no_permission":                     "the app may not post there; ask the workspace's owner",
	"posting_to_general_channel_denied": "a workspace setting forbids the app to post there; ask the workspace's owner",
	"action_prohibited":                 "a workspace setting forbids it; ask the workspace's owner",
	"no_service":                        "the incoming webhook was removed or is off; make a new one",
	"no_active_hooks":                   "the incoming webhook is off; make a new one",
	"invalid_token":                     "the incoming webhook's URL is not valid; copy it again",
	"no_team":                           "the incoming webhook's URL is not valid; copy it again",
	"user_not_found":                    "the incoming webhook's user was removed; make a new one",
	"team_access_not_granted":           "install the app in the workspace of the channel",
	"ekm_access_denied":                 "the workspace's owner has suspended access to its keys; ask them",
}

// passing are the codes that go away by themselves.
var passing = map[string]bool{
	"ratelimited": true, "rate_limited": true, "internal_error": true, "fatal_error": true, "service_unavailable": true,
	"request_timeout": true, "team_added_to_org": true, "rollup_error": true, "accesslimited": true, "message_limit_exceeded": true,
}

// codeError gives one of Slack's error codes a kind and a sentence.
func codeError(code string) *hub.Error {
	if !isCode(code) {
		return hub.E(hub.Invalid, "Slack refused the message; see the attempt's response")
	}
	if passing[code] {
		return hub.E(hub.Transient, "Slack answered "+code)
	}
	if what, ok := advice[code]; ok {
		return hub.E(hub.Invalid, "Slack answered "+code+": "+what)
	}
	if tooMuch[code] {
		return hub.E(hub.TooLarge, "Slack answered "+code)
	}
	return hub.E(hub.Invalid, "Slack answered "+code)
}

// tooMuch are the codes that may be the fault of one of several that went
// together.
var tooMuch = map[string]bool{
	"msg_too_long": true, "msg_blocks_too_long": true, "invalid_blocks": true, "invalid_blocks_format": true, "invalid_attachments": true,
	"metadata_too_large": true, "invalid_metadata_format": true,
}

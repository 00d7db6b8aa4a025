package slack

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// An App is what is registered with Slack. Zero fields take defaults.
type App struct {
	ClientID, ClientSecret string
	Redirects              []string // beginnings of allowed redirect_uris; nil for any
	Channel                string   // that the person chooses for incoming-webhook
}

func (a App) complete() App {
	if a.ClientID == "" {
		a.ClientID = "3336676.569200954261"
	}
	if a.ClientSecret == "" {
		a.ClientSecret = "simulated-client-secret"
	}
	if a.Channel == "" {
		a.Channel = "#soc"
	}
	return a
}

// App gives what is registered.
func (s *Sim) App() App {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.app
}

// A code is given to a browser and exchanged once.
type code struct {
	redirect, scope string
	at              time.Time
}

// authorize is the page on which a person allows an app; here they do at once.
func (s *Sim) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := url.Parse(q.Get("redirect_uri"))
	var fault string
	switch {
	case r.Method != http.MethodGet:
		fault = "want GET"
	case q.Get("client_id") != s.app.ClientID:
		fault = "invalid_client_id"
	case q.Get("scope") == "":
		fault = "no scope"
	case q.Get("state") == "":
		fault = "no state"
	case err != nil || target.Host == "" || !s.allowed(q.Get("redirect_uri")):
		fault = "bad_redirect_uri"
	}
	for _, scope := range strings.Split(q.Get("scope"), ",") {
		if !scopeExists(scope) {
			fault = "invalid_scope " + scope
		}
	}
	if fault != "" {
		s.Violate(r, "%s", fault)
		http.Error(w, fault, http.StatusBadRequest)
		return
	}
	s.serial++
	name := fmt.Sprintf("code.%d", s.serial)
	s.codes[name] = code{q.Get("redirect_uri"), q.Get("scope"), s.Now()}
	back := target.Query()
	back.Set("code", name)
	back.Set("state", q.Get("state"))
	target.RawQuery = back.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func scopeExists(scope string) bool {
	return slices.Contains(allScopes, scope) || slices.Contains([]string{"chat:write.public", "groups:history", "incoming-webhook"}, scope)
}

func (s *Sim) allowed(redirect string) bool {
	return s.app.Redirects == nil || slices.ContainsFunc(s.app.Redirects, func(p string) bool { return strings.HasPrefix(redirect, p) })
}

// access exchanges a code for a bot token. The client is told by the form or by
// basic auth.
func (s *Sim) access(w http.ResponseWriter, r *http.Request) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/x-www-form-urlencoded" {
		s.Violate(r, "oauth.v2.access takes a form only")
		refuse(w, "invalid_post_type")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.codes[r.PostFormValue("code")]
	switch {
	case id != s.app.ClientID:
		refuse(w, "invalid_client_id")
	case secret != s.app.ClientSecret:
		refuse(w, "bad_client_secret")
	case !found || s.Now().Sub(c.at) > 10*time.Minute:
		refuse(w, "invalid_code")
	case r.PostFormValue("redirect_uri") != c.redirect:
		s.Violate(r, "redirect_uri is not the one that was authorized")
		refuse(w, "bad_redirect_uri")
	default:
		delete(s.codes, r.PostFormValue("code"))
		s.serial++
		token := fmt.Sprintf("xoxb-installed-%d-bot-token", s.serial)
		s.tokens[token] = true
		unkind.Answer(w, 200, s.installed(token, c.scope))
	}
}

func (s *Sim) installed(token, scope string) map[string]any {
	out := map[string]any{
		"ok": true, "access_token": token, "token_type": "bot", "scope": scope, "bot_user_id": "U024BOT", "app_id": "A024APP",
		"team": map[string]string{"id": "T024BE7LD", "name": "Simulated"}, "enterprise": nil, "is_enterprise_install": false,
		"authed_user": map[string]string{"id": "U061F7AUR"},
	}
	if slices.Contains(strings.Split(scope, ","), "incoming-webhook") {
		out["incoming_webhook"] = map[string]string{
			"channel": s.app.Channel, "channel_id": channelID(s.app.Channel), "configuration_url": "http://" + s.host + "/services/B024", "url": "http://" + s.host + s.webhook,
		}
	}
	return out
}

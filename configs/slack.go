package configs

import (
	"net/url"
	"strings"

	"github.com/tocsin/tocsin/internal/secret"
)

// Slack is the section slack.
type Slack struct {
	ClientID      string        `yaml:"client_id" doc:"Of the app, for installing it over the hub (OAuth). Empty: only bot tokens and incoming webhooks that are given to endpoints."`
	ClientSecret  secret.Secret `yaml:"client_secret" doc:"Belongs to client_id."`
	SigningSecret secret.Secret `yaml:"signing_secret" doc:"Of the app: by it the buttons of channels that were installed over the hub are heard."`
	URL           string        `yaml:"url" doc:"In place of https://slack.com, such as https://slack-gov.com."`
}

// Address gives Slack's own without a slash at the end.
func (s *Slack) Address() string { return strings.TrimRight(or(s.URL, "https://slack.com"), "/") }

// Installs reports whether the app can be installed over the hub.
func (s *Slack) Installs() bool { return s.ClientID != "" && !s.ClientSecret.IsZero() }

func (l *loader) checkSlack(s *Slack) {
	if s.URL != "" {
		if fault := urlFault(s.URL, "https://slack.com"); fault != "" {
			l.wrong("slack.url", fault)
		} else if u, err := url.Parse(s.URL); err == nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
			l.wrong("slack.url", "has a path or query; write the address only, such as https://slack.com")
		}
	}
	if (s.ClientID == "") != s.ClientSecret.IsZero() {
		l.wrong("slack.client_id", "and client_secret belong together; give both or neither")
	}
	if s.ClientID != "" && s.SigningSecret.IsZero() {
		l.wrong("slack.signing_secret", "is missing; without it nobody hears the buttons of the app that client_id names")
	}
	for at, text := range map[string]string{"slack.client_id": s.ClientID, "slack.client_secret": s.ClientSecret.Reveal(), "slack.signing_secret": s.SigningSecret.Reveal()} {
		if text != "" && !tokenForm.MatchString(text) {
			l.wrong(at, "has a space or line break in it; give it as the app's page shows it")
		}
	}
}

package configs

import "testing"

func TestSlackSection(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"slack: {client_id: '1.2', client_secret: x, signing_secret: y, url: 'https://slack-gov.com/'}", ""},
		{"slack: {signing_secret: y}", ""},
		{"slack: {client_id: '1.2', signing_secret: y}", "1: slack.client_id: and client_secret belong together; give both or neither"},
		{"slack: {client_id: '1.2', client_secret: x}", "1: slack.signing_secret: is missing; without it nobody hears the buttons of the app that client_id names"},
		{"slack: {signing_secret: 'a b'}", "1: slack.signing_secret: has a space or line break in it; give it as the app's page shows it"},
		{"slack: {url: slack.com}", "1: slack.url: is not an http or https address; write for example https://slack.com"},
		{"slack: {url: 'https://slack.com/api'}", "1: slack.url: has a path or query; write the address only, such as https://slack.com"},
	} {
		checkProblems(t, tt.text+"\n", nil, tt.want)
	}
	if s := (Slack{URL: "https://slack-gov.com/"}); s.Address() != "https://slack-gov.com" || (&Slack{}).Address() != "https://slack.com" {
		t.Errorf("addresses %q and %q", s.Address(), (&Slack{}).Address())
	}
}

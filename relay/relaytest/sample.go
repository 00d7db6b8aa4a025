package relaytest

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Sample tests a target's sample.yaml: it is read as the config reads it, knows
// no other keys, says what kind it is, and holds no secret in the clear.
func Sample(t *testing.T, text, kind string) {
	t.Helper()
	type entry struct {
		Name, Kind, URL, Channel, Filter, Secret string
		Enabled                                  bool
		Events                                   []string
		APIURL                                   string   `yaml:"api_url"`
		BotToken                                 string   `yaml:"bot_token"`
		SigningSecret                            string   `yaml:"signing_secret"`
		RoutingKey                               string   `yaml:"routing_key"`
		WebhookSecrets                           []string `yaml:"webhook_secrets"`
		RateLimit                                int      `yaml:"rate_limit"`
		Host, TLS, Username, Password, From      string
		Port                                     int
		To                                       []string
		Headers                                  map[string]string `yaml:"headers"`
		Timeout                                  string
		Signing                                  []struct{ Type, Header, Prefix string }
		Retry                                    struct {
			Schedule []string
			Jitter   float64
		}
	}
	var file struct{ Endpoints []entry }
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatalf("sample.yaml: %v", err)
	}
	if len(file.Endpoints) != 1 || file.Endpoints[0].Kind != kind || file.Endpoints[0].Name == "" {
		t.Fatalf("sample.yaml has the endpoints %+v, want one of kind %s with a name", file.Endpoints, kind)
	}
	e := file.Endpoints[0]
	for _, secret := range e.WebhookSecrets {
		if !strings.HasPrefix(secret, "${env:") {
			t.Error("a webhook secret stands in sample.yaml, want a reference to the environment")
		}
	}
	for what, secret := range map[string]string{"secret": e.Secret, "bot_token": e.BotToken, "signing_secret": e.SigningSecret, "routing_key": e.RoutingKey, "password": e.Password} {
		if secret != "" && !strings.HasPrefix(secret, "${env:") {
			t.Errorf("%s is in the clear: %q", what, secret)
		}
	}
}

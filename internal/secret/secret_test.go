package secret_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/internal/secret"
)

const text = "cv_live_8xK9mP2nQ7vR4wL1"

type exported struct{ Token secret.Secret }

type hidden struct{ token secret.Secret }

func TestNothingShowsTheCredential(t *testing.T) {
	s := secret.New(text)
	values := []any{s, &s, exported{s}, hidden{s}, &hidden{s}, []secret.Secret{s}, map[string]secret.Secret{"a": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%p"} {
		for _, v := range values {
			refuse(t, verb, fmt.Sprintf(verb, v))
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "token", s, "struct", exported{s}, "hidden", hidden{s})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "token", s, "struct", exported{s}, "hidden", hidden{s})
	refuse(t, "slog", log.String())

	for name, encode := range map[string]func(any) ([]byte, error){
		"json": func(v any) ([]byte, error) { return json.Marshal(v) }, "encoding/json": stdjson.Marshal, "yaml": yaml.Marshal,
	} {
		out, err := encode(exported{s})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refuse(t, name, string(out))
		if !strings.Contains(string(out), "***") {
			t.Errorf("%s gives %s, want *** in it", name, out)
		}
	}
}

func refuse(t *testing.T, how, shown string) {
	t.Helper()
	hex := fmt.Sprintf("%x", text)
	if strings.Contains(shown, text) || strings.Contains(strings.ToLower(shown), hex) {
		t.Errorf("%s shows the credential: %s", how, shown)
	}
}

func TestReading(t *testing.T) {
	tests := []struct {
		name, input string
		decode      func([]byte, any) error
	}{
		{"json", `{"Token": "` + text + `"}`, func(b []byte, v any) error { return json.Unmarshal(b, v) }},
		{"yaml", "token: " + text, yaml.Unmarshal},
	}
	for _, tt := range tests {
		var got exported
		if err := tt.decode([]byte(tt.input), &got); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got.Token.Reveal() != text {
			t.Errorf("%s read %q, want %q", tt.name, got.Token.Reveal(), text)
		}
	}
}

func TestEqual(t *testing.T) {
	tests := []struct {
		secret secret.Secret
		text   string
		want   bool
	}{
		{secret.New(text), text, true},
		{secret.New(text), text + "x", false},
		{secret.New(text), "", false},
		{secret.Secret{}, "", false},
		{secret.New(""), "", false},
	}
	for _, tt := range tests {
		if got := tt.secret.Equal(tt.text); got != tt.want {
			t.Errorf("Secret(%q).Equal(%q) = %v, want %v", tt.secret.Reveal(), tt.text, got, tt.want)
		}
	}
}

func TestScrub(t *testing.T) {
	if got, want := secret.New(text).Scrub("token "+text+" is bad"), "token *** is bad"; got != want {
		t.Errorf("Scrub gives %q, want %q", got, want)
	}
	if got := (secret.Secret{}).Scrub("as it is"); got != "as it is" {
		t.Errorf("a zero secret changed the text to %q", got)
	}
}

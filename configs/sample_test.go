package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tocsin/tocsin/internal/secret"
)

// examples takes the # away from the examples in the sample.
func examples(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^#([a-z]|  )`).ReplaceAllString(string(Sample), "$1")
}

// sampleEnv is what the examples of the sample refer to.
var sampleEnv = []string{
	"SIEM_HOOK_KEY_PAIR=" + testPair,
	"SIEM_HOOK_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	"OTHER_HOOK_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	"SLACK_BOT_TOKEN=xoxb-0-test", "SLACK_SIGNING_SECRET=slack-signing-test", "SLACK_WEBHOOK_URL=https://hooks.slack.example.com/services/T/B/x",
	"PAGERDUTY_ROUTING_KEY=0123456789abcdef0123456789abcdef", "PAGERDUTY_WEBHOOK_SECRET=pd-hook-test",
	"SMTP_PASSWORD=mail-test", "ELASTIC_API_KEY=aWQ6a2V5", "ELASTIC_PASSWORD=geheim",
	"CYBERVAULT_TOKEN=cv_live_test", "CYBERVAULT_WEBHOOK_SECRET=cv_hook_test",
	"SOAR_HOOK_SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	"SCANNER_WEBHOOK_SECRET=scanner_test", "ALERTMANAGER_TOKEN=am_test",
}

// TestSampleIsTheDefault keeps the values in the sample from going stale.
func TestSampleIsTheDefault(t *testing.T) {
	got, err := Load(write(t, string(Sample)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Playbooks.Paths = []string{} // the sample says so
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(reflect.TypeOf(Default().Relay.AllowNetworks).Elem(), secret.Secret{})); diff != "" {
		t.Errorf("the sample differs from the defaults (-default +sample):\n%s", diff)
	}
}

func TestSampleExamplesLoad(t *testing.T) {
	c, err := Load(write(t, examples(t)), sampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Endpoints) < 4 || len(c.Connectors) == 0 || len(c.Dedup.Profiles) == 0 {
		t.Errorf("the examples were not taken: %d endpoints, %d connectors, %d profiles", len(c.Endpoints), len(c.Connectors), len(c.Dedup.Profiles))
	}
}

func TestSampleHasEveryKey(t *testing.T) {
	c, err := Load(write(t, examples(t)), sampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for path := range c.places {
		path = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "[]")
		there[strings.Replace(path, "profiles.scanner", "profiles.<source>", 1)] = true
	}
	for _, k := range Keys() {
		if !there[k.Path] {
			t.Errorf("%s is not in tocsin.yaml", k.Path)
		}
	}
}

// TestExamplesLoad loads every file under examples with all that it refers to
// set.
func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		if _, err := Load(file, sampleEnv); err != nil {
			t.Error(err)
		}
	}
}

// write puts text in a file named tocsin.yaml in a folder of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

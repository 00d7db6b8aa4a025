package ops

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestExamples checks every configuration under configs/examples with all that
// it refers to, its environment set.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../configs/examples/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v, %v", files, err)
	}
	variable := regexp.MustCompile(`\$\{env:(\w+)\}`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var env []string
		for _, m := range variable.FindAllSubmatch(text, -1) {
			value := "value"
			switch string(m[1]) {
			case "SIEM_HOOK_SECRET", "SOAR_HOOK_SECRET":
				value = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
			case "SLACK_WEBHOOK_URL":
				value = "https://hooks.slack.example.com/services/T0/B0/x"
			case "SLACK_BOT_TOKEN":
				value = "xoxb-1"
			case "PAGERDUTY_ROUTING_KEY":
				value = "0123456789abcdef0123456789abcdef"
			}
			env = append(env, string(m[1])+"="+value)
		}
		report, err := Check(file, env)
		if err != nil || !report.OK {
			t.Errorf("%s: %v\n%v", file, err, report)
		}
	}
}

// A case that does not come out as it should is a problem of its connector, and
// a field that is mapped wrongly one of its own line.
func TestCheckRunsCases(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"cases.yaml": "- name: odd\n  body: {host: h}\n  findings: [{severity: high}]\n",
		"good.yaml":  "connectors:\n  - name: w\n    kind: webhook\n    auth: none\n    cases: cases.yaml\n    map: {type: custom, asset_id: '${{ input.host }}', severity: low}\n",
		"bad.yaml":   "connectors:\n  - name: w\n    kind: webhook\n    auth: none\n    map:\n      type: custom\n      asset_id: ${{ inptu.host }}\n      severity: low\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]*regexp.Regexp{
		"good.yaml": regexp.MustCompile(`^\S+:2: connectors\[0\]: cases: \S+cases\.yaml: odd: finding 0\.severity is "low", want "high"$`),
		"bad.yaml":  regexp.MustCompile(`^\S+:7: connectors\[0\]\.map\.asset_id: 1:5: unknown name inptu, did you mean input\?$`),
	} {
		report, err := Check(filepath.Join(folder, name), nil)
		if err != nil || !want.MatchString(report.String()) {
			t.Errorf("%s: %v\n%v", name, err, report)
		}
	}
}

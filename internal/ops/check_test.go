package ops

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/configs"
)

// folder writes files, named by their paths, and gives where.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodConfig = `
playbooks: {paths: [books]}
endpoints:
  - {name: soc, kind: slack, url: "https://hooks.slack.example/x"}
connectors:
  - {name: vault, kind: cybervault, base_url: "https://api.vault.example/v2", token: "${env:VAULT_TOKEN}", webhook_secret: "${env:VAULT_HOOK}"}
`

const goodBook = `
name: tell
on: [alert.created]
steps:
  - {id: post, uses: slack.post, with: {channel: soc, message: "new"}}
`

func TestCheck(t *testing.T) {
	environ := []string{"VAULT_TOKEN=token-token-token", "VAULT_HOOK=secret-secret-secret"}
	for _, c := range []struct {
		name         string
		config, book string
		environ      []string
		want         []string // below the folder
	}{
		{"all is well", goodConfig, goodBook, environ, nil},
		{
			"everything at once",
			strings.NewReplacer("kind: slack", "kind: slak").Replace(goodConfig) + "relay: {workers: 0}\n",
			goodBook, environ,
			[]string{"tocsin.yaml:4: endpoints[0].kind: ", "tocsin.yaml:7: relay.workers: "},
		},
		{"a secret that is not set", goodConfig, goodBook, environ[:1], []string{"tocsin.yaml:6: connectors[0].webhook_secret: "}},
		{"a kind of connector that is none", strings.Replace(goodConfig, "kind: cybervault", "kind: cyberwault", 1), goodBook, environ, []string{`tocsin.yaml:6: connectors[0]: kind: "cyberwault" is none`}},
		{"a connector's own setting", strings.Replace(goodConfig, "base_url", "base_urk", 1), goodBook, environ, []string{"tocsin.yaml:6: connectors[0].base_urk: "}},
		{"a filter that does not compile", strings.Replace(goodConfig, "kind: slack,", "kind: slack, events: ['alert.*'], filter: 'alert.titel == 1',", 1), goodBook, environ, []string{"tocsin.yaml:4: endpoints[0].filter: "}},
		{"a glob that matches nothing", strings.Replace(goodConfig, "kind: slack,", "kind: slack, events: [alert.creatd],", 1), goodBook, environ, []string{"tocsin.yaml:4: endpoints[0].events"}},
		{
			"templates, each with its place",
			strings.Replace(goodConfig, `kind: slack,`, "kind: slack,\n     templates: {\n       text: '{{.alert.titel}}'},", 1) +
				"  \n", goodBook, environ,
			[]string{`tocsin.yaml:6: endpoints[0].templates.text: for alert.created: line 1:8: <.alert.titel>: there is no "titel"`},
		},
		{
			"mail that cannot be sent", goodConfig[:strings.Index(goodConfig, "connectors:")] + "  - {name: m, kind: email, host: mail.example, from: ü@a.example, to: [soc@example.com], templates: {subject: '{{range}}'}}\n" + goodConfig[strings.Index(goodConfig, "connectors:"):],
			goodBook, environ,
			[]string{"tocsin.yaml:5: endpoints[1].from: must be a mail address of ASCII", "tocsin.yaml:5: endpoints[1].templates.subject: "},
		},
		{"an endpoint that is not there", goodConfig, strings.Replace(goodBook, "channel: soc", "channel: sock", 1), environ, []string{`tocsin.yaml:2: playbooks.paths: playbook tell sends to "sock", which is no endpoint`}},
		{"a playbook's own fault", goodConfig, strings.Replace(goodBook, "slack.post", "slack.pst", 1), environ, []string{"books/tell.yaml:5: steps[0].uses: unknown action slack.pst"}},
		{"a connector's action", goodConfig, strings.Replace(goodBook, `uses: slack.post, with: {channel: soc, message: "new"}`, "uses: vault.submit_findings", 1), environ, []string{"books/tell.yaml:5: steps[0].uses: unknown action vault.submit_findings"}},
		{
			"actions of a connector that is wrong itself are not told of", strings.Replace(goodConfig, "base_url", "base_urk", 1),
			strings.Replace(goodBook, `uses: slack.post, with: {channel: soc, message: "new"}`, "uses: vault.submit_finding", 1), environ,
			[]string{"tocsin.yaml:6: connectors[0].base_urk: "},
		},
		{"a folder that is missing", strings.Replace(goodConfig, "[books]", "[books, boks]", 1), goodBook, environ, []string{"tocsin.yaml:2: playbooks.paths[1]: "}},
		{"no YAML", "endpoints: [", "", environ, []string{"tocsin.yaml:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"tocsin.yaml": c.config, "books/tell.yaml": c.book})
			if c.book == "" {
				os.Remove(filepath.Join(dir, "books", "tell.yaml"))
			}
			r, err := Check(filepath.Join(dir, "tocsin.yaml"), c.environ)
			if err != nil {
				t.Fatal(err)
			}
			left := slices.Clone(r.Problems)
			for _, want := range c.want {
				i := slices.IndexFunc(left, func(p configs.Problem) bool { return strings.HasPrefix(p.String(), filepath.Join(dir, want)) })
				if i < 0 {
					t.Errorf("no problem begins with %q", want)
					continue
				}
				left = slices.Delete(left, i, i+1)
			}
			if len(c.want) == 0 || c.name != "no YAML" && !strings.HasPrefix(c.name, "a connector's own") && !strings.HasPrefix(c.name, "actions") {
				for _, p := range left {
					t.Errorf("unwanted: %s", p)
				}
			}
			if r.OK != (len(c.want) == 0) {
				t.Errorf("ok is %v", r.OK)
			}
			for _, p := range left {
				if strings.Contains(p.Text, "unknown action") {
					t.Errorf("told of though the connector is at fault: %s", p)
				}
			}
		})
	}
}

func TestCheckOfNoFile(t *testing.T) {
	if _, err := Check(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "does not exist; name a configuration file") {
		t.Errorf("got %v", err)
	}
}

// The configurations that are shown to people hold.
func TestCheckOfTheSample(t *testing.T) {
	r, err := Check(filepath.Join("..", "..", "configs", "tocsin.yaml"), nil)
	if err != nil || !r.OK {
		t.Errorf("%v\n%v", r, err)
	}
}

func TestTestPlaybooks(t *testing.T) {
	dir := folder(t, map[string]string{
		"tocsin.yaml":          strings.Replace(goodConfig, "[books]", "[books/act.yaml]", 1),
		"books/tell.yaml":      goodBook,
		"books/tell.test.yaml": "- name: tells\n  event: {type: alert.created}\n  alert: {severity: high}\n  expect: {steps: {post: done}}\n- name: fails\n  event: {type: alert.created}\n  alert: {severity: high}\n  expect: {steps: {post: skipped}}\n",
		"books/act.yaml":       "name: act\non: [alert.created]\nsteps:\n  - {id: go, uses: vault.submit_finding, with: {asset_id: a, type: xss, severity: high}}\n",
	})
	environ := []string{"VAULT_TOKEN=token-token-token", "VAULT_HOOK=secret-secret-secret"}
	r, err := TestPlaybooks("", nil, []string{filepath.Join(dir, "books", "tell.yaml")})
	if err != nil || len(r.Cases) != 2 || r.Failed() != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := TestPlaybooks("", nil, []string{filepath.Join(dir, "books")}); err == nil || !strings.Contains(err.Error(), "unknown action vault.submit_finding") {
		t.Errorf("an action of a connector passed without the configuration: %v", err)
	}
	r, err = TestPlaybooks(filepath.Join(dir, "tocsin.yaml"), environ, nil)
	if err != nil || r.Playbooks != 1 || len(r.Untested) != 1 {
		t.Errorf("with the configuration: %+v, %v", r, err)
	}
	if _, err := TestPlaybooks("", nil, nil); err == nil {
		t.Error("nothing to test was taken")
	}
}

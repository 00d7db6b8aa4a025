package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v3"
)

// An expression is one that is shipped, with where it stands.
type expression struct{ where, text string }

// expressions gives those of the rules and of the dashboard.
func expressions(t *testing.T) (all []expression) {
	t.Helper()
	for _, r := range alertRules(t) {
		all = append(all, expression{"alert " + r.Alert, r.Expr})
	}
	var board struct {
		Panels []struct {
			Title      string `json:"title"`
			Datasource struct {
				UID string `json:"uid"`
			} `json:"datasource"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/dashboards/tocsin.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Targets) > 0 && p.Datasource.UID != "prometheus" {
			t.Errorf("panel %q asks %q, which is not the provisioned source", p.Title, p.Datasource.UID)
		}
		for _, x := range p.Targets {
			all = append(all, expression{"panel " + p.Title, x.Expr})
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d expressions were found", len(all))
	}
	return all
}

// A rule is one of deploy/prometheus/alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alertRules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "deploy/prometheus/alerts.yml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Every rule says how bad it is and what to do, and the operators' pages know it.
func TestRulesSayWhatToDo(t *testing.T) {
	if !strings.Contains(read(t, "deploy/prometheus/prometheus.yml"), "rule_files: [alerts.yml]") {
		t.Error("Prometheus does not read alerts.yml")
	}
	seen, known := map[string]bool{}, read(t, "docs/failures.md")
	for _, r := range alertRules(t) {
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
			t.Errorf("%s says not what is wrong, or not what to do", r.Alert)
		}
		if !strings.Contains(known, r.Alert) {
			t.Errorf("docs/failures.md does not know %s", r.Alert)
		}
	}
}

// A selector is a metric that an expression asks for; see promcheck.
type selector struct {
	Metric string            `json:"metric"`
	Labels map[string]string `json:"labels"`
}

type parsed struct {
	Error     string     `json:"error"`
	Selectors []selector `json:"selectors"`
	Grouped   []string   `json:"grouped"`
}

// parse has Prometheus's own parser read expressions. It is skipped where its
// modules cannot be fetched.
func parse(t *testing.T, all []expression) []parsed {
	t.Helper()
	texts := []string{}
	for _, x := range all {
		texts = append(texts, x.text)
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "promcheck", ".")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if err := cmd.Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("promcheck: %v\n%s", err, errs.String())
		}
		t.Skipf("promcheck could not be built, so expressions are not checked: %v\n%s", err, errs.String())
	}
	answers := []parsed{}
	if err := json.Unmarshal(out.Bytes(), &answers); err != nil || len(answers) != len(all) {
		t.Fatalf("promcheck gives %d answers, %v", len(answers), err)
	}
	return answers
}

func TestExpressionsParse(t *testing.T) {
	all := expressions(t)
	wrong := append(all, expression{"a wrong one", "sum(rate(x[5m)"})
	answers := parse(t, wrong)
	for i, a := range answers {
		if broken := i == len(all); (a.Error != "") != broken {
			t.Errorf("%s: %s: %s", wrong[i].where, wrong[i].text, a.Error)
		}
	}
}

// sample is a line of a page of metrics.
var sample = regexp.MustCompile(`(?m)^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? \S+$`)

// exposed gives the labels of each metric on pages.
func exposed(pages string) map[string]map[string]bool {
	all := map[string]map[string]bool{"up": {"job": true, "instance": true}}
	for _, m := range sample.FindAllStringSubmatch(pages, -1) {
		if all[m[1]] == nil {
			all[m[1]] = map[string]bool{"job": true, "instance": true} // which Prometheus adds
		}
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(m[2], -1) {
			all[m[1]][l[1]] = true
		}
	}
	return all
}

// checkExpressions holds the shipped expressions against what hubs expose.
func checkExpressions(t *testing.T, pages string) {
	t.Helper()
	there, all := exposed(pages), expressions(t)
	for i, a := range parse(t, all) {
		for _, s := range a.Selectors {
			labels := there[s.Metric]
			if labels == nil {
				t.Errorf("%s: there is no metric %s", all[i].where, s.Metric)
				continue
			}
			wanted := slices.Clone(a.Grouped)
			for l := range s.Labels {
				wanted = append(wanted, l)
			}
			for _, l := range wanted {
				if !labels[l] {
					t.Errorf("%s: %s has no label %s", all[i].where, s.Metric, l)
				}
			}
		}
	}
}

// checkPage checks a page of metrics as promtool does.
func checkPage(t *testing.T, page string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "tocsin_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

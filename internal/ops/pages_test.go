package ops

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/list"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write the generated pages again")

const root = "../.."

// A page is made of the README.md and the sample.yaml of a folder, and of what
// the program knows of the kind.
type docPage struct {
	kind, folder string
	title        string
	intro        string   // what stands below the title
	sections     []string // each with its heading
	facts        [][2]string
	sample       string
	actions      []connectors.ActionSpec
}

// TestGeneratedPages keeps docs/connectors and docs/targets in step with what
// they are made of.
func TestGeneratedPages(t *testing.T) {
	want := map[string][]byte{}
	var kinds, targets []*docPage
	for _, k := range list.Kinds() {
		p := readPage(t, "connectors", k.Name)
		p.connector(t, k)
		kinds = append(kinds, p)
		want["connectors/"+k.Name+".md"] = p.write()
	}
	for _, folder := range []string{"elastic", "email", "pagerduty", "slack", "webhook"} {
		p := readPage(t, "relay", folder)
		p.target(t)
		targets = append(targets, p)
		want["targets/"+p.kind+".md"] = p.write()
	}
	want["connectors/README.md"] = index("Sources", "Every kind of source system, for `connectors:` in the config. A page says what is read and received, what the credential has to be allowed, how things are mapped and what playbooks can do there.", kinds)
	want["targets/README.md"] = index("Targets", "Every kind of far side, for `endpoints:` in the config, `POST /webhooks` and `POST /channels`.", targets)
	for name, text := range want {
		checkLinks(t, name, text)
		file := filepath.Join(root, "docs", name)
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, text) {
			t.Errorf("docs/%s is stale (%v); run make docs", name, err)
		}
	}
	for _, folder := range []string{"connectors", "targets"} {
		tidy(t, folder, want)
	}
}

// tidy finds pages of kinds that are no more.
func tidy(t *testing.T, folder string, want map[string][]byte) {
	entries, err := os.ReadDir(filepath.Join(root, "docs", folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := folder + "/" + e.Name(); want[name] == nil {
			t.Errorf("docs/%s is of no kind; remove it", name)
		}
	}
}

func readPage(t *testing.T, parent, folder string) *docPage {
	t.Helper()
	p := &docPage{kind: folder, folder: parent + "/" + folder}
	b, err := os.ReadFile(filepath.Join(root, p.folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^## `).Split(relink(string(b), p.folder), -1)
	first, rest, _ := strings.Cut(parts[0], "\n")
	rest = strings.Replace(rest, "| config | `sample.yaml` |\n", "", 1) // it is on the page
	p.title, p.intro = strings.TrimPrefix(first, "# "), strings.TrimSpace(rest)
	for _, s := range parts[1:] {
		p.sections = append(p.sections, "## "+strings.TrimSpace(s))
	}
	sample, err := os.ReadFile(filepath.Join(root, p.folder, "sample.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.sample = strings.TrimSpace(string(sample))
	return p
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// relink turns links that are relative to a folder's README into ones that are
// relative to its page.
func relink(text, folder string) string {
	return link.ReplaceAllStringFunc(text, func(all string) string {
		m := link.FindStringSubmatch(all)
		to := path.Join(folder, m[1]) // from the root
		for from, dir := range map[string]string{"connectors": "connectors", "relay": "targets"} {
			if rest, ok := strings.CutPrefix(to, from+"/"); ok && strings.HasSuffix(rest, "/README.md") {
				return "](../" + dir + "/" + pageName(strings.TrimSuffix(rest, "/README.md")) + ".md" + m[2] + ")"
			}
		}
		return "](../../" + to + m[2] + ")"
	})
}

// pageName is the kind of a folder.
func pageName(folder string) string {
	if folder == "elastic" {
		return hub.KindElastic
	}
	return folder
}

var anyLink = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)

// checkLinks finds links of a page to files that are not there.
func checkLinks(t *testing.T, name string, text []byte) {
	t.Helper()
	for _, m := range anyLink.FindAllSubmatch(text, -1) {
		to := path.Join("docs", path.Dir(name), string(m[1]))
		if strings.HasPrefix(to, "docs/connectors/") || strings.HasPrefix(to, "docs/targets/") {
			continue // written by the same run
		}
		if _, err := os.Stat(filepath.Join(root, to)); err != nil {
			t.Errorf("docs/%s links to %s, which is not there", name, to)
		}
	}
}

// connector fills in what the program knows of a kind of connector.
func (p *docPage) connector(t *testing.T, k connectors.Kind) {
	t.Helper()
	source, err := k.Open(connectors.Settings{
		Name: k.Name, Tenant: hub.DefaultTenant, Client: &http.Client{}, Log: slog.New(slog.DiscardHandler),
		Config: func(into any) error {
			d := yaml.NewDecoder(strings.NewReader(k.Sample))
			d.KnownFields(true)
			return d.Decode(into)
		},
	})
	if err != nil {
		t.Fatalf("open the sample of %s: %v", k.Name, err)
	}
	defer source.Close()
	p.facts = append(p.facts, [2]string{"kind", "`" + k.Name + "`"}, [2]string{"brings", k.Doc})
	fact := func(is bool, name, text string) {
		if is {
			p.facts = append(p.facts, [2]string{name, text})
		}
	}
	_, pulls := source.(connectors.Puller)
	fact(pulls, "pulls", "every `interval` (a minute if not given), from a cursor that is stored with what was read: nothing is lost or told twice over a restart. `tocsin connectors sync NAME` pulls now")
	_, receives := source.(connectors.Receiver)
	fact(receives, "receives", "at `POST /api/v1/ingest/<name>`, without an API key: the source checks its sender itself. What was answered with 202 is durable; an item that cannot be used is refused alone and shown by `tocsin connectors rejected NAME`")
	if s, serves := source.(connectors.Server); serves {
		fact(true, "serves", "`"+s.Root()+"` and the paths below it, as their vendor's product does")
	}
	_, listens := source.(connectors.Listener)
	fact(listens, "listens", "on sockets or a connection of its own; `tocsin connectors show NAME` says where")
	if m, mirrors := source.(connectors.Mirror); mirrors {
		fact(true, "is told", "what becomes of its findings here, once, unless the entry says `mirror: false`: "+mirrored(t, m))
	}
	_, tests := source.(connectors.Tester)
	fact(tests, "test", "`tocsin connectors test NAME` makes one harmless call")
	if k.Format != nil {
		fact(true, "files", "`tocsin send --format "+k.Name+" FILE`: "+k.Format.Doc)
	}
	if a, acts := source.(connectors.Actor); acts {
		p.actions = a.Actions()
	}
	p.sample = entry(p.sample)
	p.complete(t, pulls)
}

// mirrored lists what a source is told, as far as its Mirror says by examples.
func mirrored(t *testing.T, m connectors.Mirror) string {
	t.Helper()
	var told []string
	for _, change := range []hub.EventType{hub.AlertAcknowledgedEvent, hub.AlertResolvedEvent, hub.AlertDismissedEvent, hub.AlertReopened} {
		calls := map[string]bool{}
		for _, id := range []string{"alert|a1", "incident|i1", "a1"} {
			if action, _ := m.Mirror(change, id); action != "" {
				calls["`"+action+"`"] = true
			}
		}
		if len(calls) > 0 {
			told = append(told, strings.TrimPrefix(string(change), "alert.")+" by "+strings.Join(slices.Sorted(maps.Keys(calls)), " and "))
		}
	}
	if len(told) == 0 {
		t.Error("a source that is a Mirror is told nothing of the examples; add one of its ids here")
	}
	return strings.Join(told, ", ")
}

// complete wants of a README what its page is for.
func (p *docPage) complete(t *testing.T, pulls bool) {
	t.Helper()
	mapping := slices.ContainsFunc(p.sections, func(s string) bool {
		heading, rest, _ := strings.Cut(s, "\n")
		return regexp.MustCompile(`Mapping|Fields|Data`).MatchString(heading) && strings.Contains(rest, "| --- |")
	})
	if !mapping {
		t.Errorf("%s/README.md has no table under a heading Mapping", p.folder)
	}
	if pulls && !strings.Contains(p.intro, " needs |") {
		t.Errorf("%s/README.md does not say what the credential needs", p.folder)
	}
	if !pulls && !regexp.MustCompile(`[Ww]ho may send|token|listen`).MatchString(p.intro+strings.Join(p.sections, "")) {
		t.Errorf("%s/README.md does not say who may send", p.folder)
	}
}

// entry puts a connector's sample into the list of a config.
func entry(sample string) string {
	var b strings.Builder
	b.WriteString("connectors:\n")
	started := false
	for line := range strings.SplitSeq(sample, "\n") {
		switch {
		case line == "":
			b.WriteString("\n")
		case strings.HasPrefix(line, "#") && !started:
			b.WriteString("  " + line + "\n")
		case !started:
			started = true
			b.WriteString("  - " + line + "\n")
		default:
			b.WriteString("    " + line + "\n")
		}
	}
	return strings.TrimSpace(b.String())
}

// target fills in what is known of a kind of target.
func (p *docPage) target(t *testing.T) {
	t.Helper()
	p.kind = pageName(p.kind)
	p.facts = [][2]string{
		{"kind", "`" + p.kind + "`"},
		{"sends", "at least once, with the same id in every attempt; what failed is tried again by the schedule (5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h unless changed), held while the far side is down, and shown by `tocsin deliveries list`"},
		{"test", "`POST /webhooks/{id}/test` or `POST /channels/{id}/test`"},
	}
	if p.kind == hub.KindElastic {
		p.facts[1][1] = "in bulk, one document for each change of an alert, from a place in the topic of events that is stored: nothing is left out or written twice"
		p.facts = p.facts[:2]
	}
	if !strings.Contains(p.sample, "kind: "+p.kind) {
		t.Errorf("%s/sample.yaml is not of kind %s", p.folder, p.kind)
	}
}

func (p *docPage) write() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made by make docs of %s/README.md, sample.yaml and the program; change those. -->\n\n# %s\n\n%s\n\n", p.folder, p.title, p.intro)
	b.WriteString("## In short\n\n| | |\n| --- | --- |\n")
	for _, f := range p.facts {
		fmt.Fprintf(&b, "| %s | %s |\n", f[0], cell(f[1]))
	}
	fmt.Fprintf(&b, "\n## Sample\n\nWhat every entry may say is in [configuration.md](../configuration.md).\n\n```yaml\n%s\n```\n", p.sample)
	p.writeActions(&b)
	for _, s := range p.sections {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	return b.Bytes()
}

// writeActions lists the actions with their parameters.
func (p *docPage) writeActions(b *bytes.Buffer) {
	if len(p.actions) == 0 {
		return
	}
	b.WriteString("\n## Actions for playbooks\n\nParameters marked with * are required. `<kind>.<verb>`, as they stand here, is the first connector of the kind, `<name>.<verb>` the one of that name.\n\n| action | what it does | parameters |\n| --- | --- | --- |\n")
	for _, a := range p.actions {
		var params []string
		for _, x := range a.Params {
			params = append(params, param(x))
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", a.Name, cell(a.Doc), cell(strings.Join(params, "<br>")))
	}
}

func param(x connectors.ParamSpec) string {
	text := "`" + x.Name + "`"
	if x.Required {
		text += "*"
	}
	text += " " + string(x.Type)
	if len(x.Enum) > 0 {
		text += ": " + strings.Join(x.Enum, ", ")
	}
	if x.Doc != "" {
		text += "; " + x.Doc
	}
	return text
}

// cell makes a text fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
}

func index(title, intro string, pages []*docPage) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made by make docs. -->\n\n# %s\n\n%s\n\n| kind | |\n| --- | --- |\n", title, intro)
	for _, p := range pages {
		text := p.title
		for _, f := range p.facts {
			if f[0] == "brings" {
				text += ": " + f[1]
			}
		}
		fmt.Fprintf(&b, "| [`%s`](%s.md) | %s |\n", p.kind, p.kind, cell(text))
	}
	return b.Bytes()
}

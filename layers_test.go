package tocsin

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tocsin/tocsin/"

// tools are the small packages that most others may use.
var tools = []string{
	"internal/ident", "internal/page", "internal/glob", "internal/expr", "internal/intake", "internal/ratelimit",
	"internal/secret", "internal/durable", "internal/safehttp", "internal/inbound", "internal/syslogmsg",
}

// A layer says which of our packages the packages under from may import. The
// longest from that fits a package counts. A name ending in /… is the package
// and all below it.
type layer struct {
	from  string
	may   []string
	tools bool
	why   string
}

var layers = []layer{
	{from: "hub", why: "the bottom: everything may import it"},
	{from: "test/sim", why: "a simulator that shares our code shares our mistakes", may: []string{"test/sim/…"}},
	{from: "relay/sign", why: "pure: bytes in, headers out"},
	{from: "internal/store/driver", why: "an engine is written against this alone"},
	{from: "internal/ident", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/page", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/glob", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/expr", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/intake", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/ratelimit", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/secret", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/durable", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/safehttp", why: "a small tool", may: []string{"hub"}, tools: true},
	{from: "internal/inbound", why: "a small tool; Standard Webhooks are checked where they are made", may: []string{"hub", "relay/sign"}, tools: true},
	{from: "internal/syslogmsg", why: "a small tool"},
	{from: "configs", why: "the configuration can be read and checked alone", may: []string{"hub"}, tools: true},
	{from: "audit", why: "the audit log can be read and checked alone", may: []string{"hub"}, tools: true},
	{from: "internal/store", why: "knows rows, no rules", may: []string{"hub", "internal/store/…"}, tools: true},
	{from: "internal/bus", why: "knows messages, no rules", may: []string{"hub", "internal/bus"}, tools: true},
	{from: "internal/bus/embedded", why: "its messages are tables of the store, so that publishing is part of a transaction", may: []string{"hub", "internal/bus", "internal/store"}, tools: true},
	{from: "internal/bus/outbox", why: "its messages are a table of the store, in the transaction of what they tell of", may: []string{"hub", "internal/bus", "internal/store"}, tools: true},
	{from: "connectors", why: "a source knows neither its neighbours nor bus nor store", may: []string{"hub", "connectors"}, tools: true},
	{from: "connectors/carried", why: "what general transports carry inside is mapped as its own source maps it", may: []string{"hub", "connectors", "connectors/cef", "connectors/suricata", "connectors/wazuh"}, tools: true},
	{from: "connectors/splunk_hec", why: "a general transport", may: []string{"hub", "connectors", "connectors/carried"}, tools: true},
	{from: "connectors/syslog", why: "a general transport", may: []string{"hub", "connectors", "connectors/carried"}, tools: true},
	{from: "connectors/elasticsearch", why: "shares the texts with expressions that fill in findings", may: []string{"hub", "connectors", "connectors/carried"}, tools: true},
	{from: "connectors/list", why: "the one list of sources", may: []string{"hub", "connectors/…"}, tools: true},
	{from: "relay", why: "a target knows no neighbours", may: []string{"hub", "relay", "relay/sign"}, tools: true},
	{from: "pipelines/dedup", why: "a stage is a function of a finding", may: []string{"hub"}, tools: true},
	{from: "pipelines/playbook", why: "a stage is a function of an event", may: []string{"hub"}, tools: true},
	{from: "pipelines/rules", why: "a stage is a function of an event", may: []string{"hub"}, tools: true},
	{from: "pipelines/route", why: "a stage is a function of an event", may: []string{"hub"}, tools: true},
	{from: "pipelines", why: "the one place of order", may: []string{"hub", "pipelines/…", "internal/bus"}, tools: true},
	{from: "internal/api", why: "asks for what it needs by small interfaces", may: []string{"hub", "audit"}, tools: true},
	{from: "internal/access", why: "asks for what it needs by small functions", may: []string{"hub", "audit"}, tools: true},
	{from: "internal/app", why: "the one package that sees everything", may: []string{"…"}, tools: true},
	{from: "internal/ops", why: "what the program does without a running hub", may: []string{"…"}, tools: true},
	{from: "internal/demo", why: "the hub and the simulators in one process", may: []string{"…"}, tools: true},
	{from: "cmd/tocsin", why: "main stays thin", may: []string{"hub", "internal/app", "internal/ops", "internal/demo", "configs"}, tools: true},
	{from: "cmd/hubsim", why: "the simulators as a program", may: []string{"test/sim/…"}},
	{from: "test/bench", why: "measures the program from outside", may: []string{"test/sim/…", "test/services", "test/report"}},
	{from: "test", why: "tests see what they test", may: []string{"…"}, tools: true},
	{from: "", why: "the root holds only the tour"},
}

// owners name the one folder that may import an outside module, apart from the
// tests beside it.
var owners = map[string][]string{
	"github.com/gofiber/fiber":            {"internal/api"},
	"github.com/danielgtaylor/huma":       {"internal/api"},
	"github.com/ThreeDotsLabs/watermill":  {"internal/bus", "pipelines", "internal/app"},
	"github.com/segmentio/kafka-go":       {"internal/bus/kafka", "test/bench"},
	"github.com/elastic/go-elasticsearch": {"relay/elastic", "connectors/elasticsearch"},
	"github.com/slack-go/slack":           {"relay/slack"},
	"github.com/PagerDuty/go-pagerduty":   {"relay/pagerduty"},
	"github.com/wneessen/go-mail":         {"relay/email"},
	"cel.dev/cel-go":                      {"internal/expr"},
	"github.com/leodido/go-syslog":        {"internal/syslogmsg"},
	"github.com/coder/websocket":          {"connectors/echelongraph", "test/sim/echelongraph"},
	"modernc.org/sqlite":                  {"internal/store/sqlite"},
	"github.com/jackc/pgx":                {"internal/store/postgres", "test/bench"},
	"github.com/pressly/goose":            {"internal/store/sqlite", "internal/store/postgres"},
	"code.dny.dev/ssrf":                   {"internal/safehttp"},
	"github.com/alecthomas/kong":          {"cmd"},
	"github.com/oklog/ulid":               {"internal/ident"},
	"golang.org/x/crypto":                 {"internal/access", "internal/secret"},
	"github.com/prometheus/client_golang": {"internal", "pipelines", "relay", "connectors"},
	"go.yaml.in/yaml":                     {"configs", "pipelines/playbook", "relay", "connectors"},
}

// lookup gives the layer of a package: the longest from that it is in.
func lookup(pkg string) layer {
	best := layers[len(layers)-1]
	for _, l := range layers {
		if within(pkg, l.from) && len(l.from) > len(best.from) {
			best = l
		}
	}
	return best
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// violation says why pkg may not import imported, or "".
func violation(pkg, imported string, test bool) string {
	ours, found := strings.CutPrefix(imported, module)
	if !found {
		return foreign(pkg, imported, test)
	}
	l := lookup(pkg)
	if test && l.from != "test/sim" || within(ours, pkg) && l.from != "hub" {
		return "" // tests may use kits and simulators; a package may use what is below it
	}
	may := l.may
	if l.tools {
		may = append(append([]string{}, may...), tools...)
	}
	for _, m := range may {
		folder, below := strings.CutSuffix(m, "…")
		folder = strings.TrimSuffix(folder, "/")
		if ours == folder || below && (folder == "" || within(ours, folder)) {
			return ""
		}
	}
	return pkg + " imports " + ours + ", but " + l.from + " may import only " + strings.Join(l.may, ", ") + ": " + l.why
}

func foreign(pkg, imported string, test bool) string {
	for mod, folders := range owners {
		if !within(imported, mod) || test {
			continue
		}
		for _, f := range folders {
			if within(pkg, f) {
				return ""
			}
		}
		return pkg + " imports " + imported + ", whose home is " + strings.Join(folders, " or ")
	}
	return ""
}

// eachGoFile calls f for every Go file of the module, with its package's path
// below the module's.
func eachGoFile(t *testing.T, f func(pkg, file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() && file != "." {
			if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
				return filepath.SkipDir // a module of its own
			}
		}
		if strings.HasSuffix(file, ".go") {
			f(strings.TrimPrefix(path.Dir(filepath.ToSlash(file)), "."), file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The arrows between packages are those of the table above. Files are read, not
// asked of the go command, whose test cache would hide a change.
func TestLayers(t *testing.T) {
	eachGoFile(t, func(pkg, file string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		for _, i := range parsed.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			if v := violation(pkg, imported, strings.HasSuffix(file, "_test.go")); v != "" {
				t.Errorf("%s: %s", file, v)
			}
		}
	})
}

// The table refuses what it should: a wrong import planted in each kind of place.
func TestLayersRefuseWrongImports(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		test, wrong   bool
	}{
		{"hub", module + "internal/ident", false, true},
		{"hub", module + "audit", false, true},
		{"connectors/cybervault", module + "internal/store", false, true},
		{"connectors/cybervault", module + "connectors", false, false},
		{"connectors/cybervault", module + "connectors/falco", false, true},
		{"relay/slack", module + "relay/pagerduty", false, true},
		{"relay/webhook", module + "relay/sign", false, false},
		{"relay/sign", module + "hub", false, true},
		{"test/sim/slack", module + "relay/slack", false, true},
		{"test/sim/slack", module + "hub", true, true},
		{"pipelines/dedup", module + "pipelines/route", false, true},
		{"pipelines", module + "internal/store", false, true},
		{"internal/api", module + "internal/app", false, true},
		{"internal/store", module + "internal/bus", false, true},
		{"internal/bus/embedded", module + "internal/store", false, false},
		{"cmd/tocsin", module + "internal/store", false, true},
		{"internal/app", module + "relay/slack", false, false},
		{"pipelines", "github.com/gofiber/fiber/v2", false, true},
		{"internal/api", "github.com/gofiber/fiber/v2", false, false},
		{"relay/webhook", "cel.dev/cel-go/cel", false, true},
		{"internal/api", module + "test/sim/slack", true, false},
	} {
		if got := violation(c.pkg, c.imported, c.test); (got != "") != c.wrong {
			t.Errorf("%s importing %s: got %q, want wrong=%v", c.pkg, c.imported, got, c.wrong)
		}
	}
}

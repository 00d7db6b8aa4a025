package configs

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin/tocsin/internal/secret"
)

func TestNothingGivenIsTheDefault(t *testing.T) {
	for name, path := range map[string]string{"no file": "", "empty": write(t, ""), "comments": write(t, "# nothing\n"), "document": write(t, "---\n")} {
		c, err := Load(path, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.places = nil
		if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", Default()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// TestProblems has a text of the file and every problem that is told, with line
// and path.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		// What is no configuration at all.
		{"syntax", "server:\n  listen: [a\n", `2: not valid YAML: from here on, did not find expected ',' or ']'`},
		{"tab", "server:\n\tlisten: a\n", "2: not valid YAML: found character that cannot start any token; indent with spaces, and quote values that start with @, ` or %"},
		{"two documents", "log:\n  level: info\n---\nlog:\n  level: info\n", `3: a second document starts here; the configuration is one document, so remove the --- before it`},
		{"a list", "- server\n", `1: must be keys with values, one "key: value" a line`},
		{"a text", "server\n", `1: must be keys with values, one "key: value" a line`},

		{"unknown anchor", "log:\n  level: info\n  format: *f\n", `3: not valid YAML: unknown anchor 'f' referenced`},
		{"brace", "log: {level: info\n", `1: not valid YAML: from here on, did not find expected ',' or '}'`},
		{"key, first line", "log: a: b\n", `1: not valid YAML: mapping values are not allowed in this context`},

		// Keys.
		{"unknown section", "sever:\n  listen: a\n", `1: sever: unknown key; did you mean server?`},
		{"unknown key", "server:\n  listen: :80\n  lisen: :81\n", `3: server.lisen: unknown key; did you mean listen?`},
		{"far-off key", "log:\n  colour: red\n", `2: log.colour: unknown key; known here: level, format`},
		{"key twice", "log:\n  level: info\n  format: json\n  level: warn\n", `4: log.level: given twice; keep one of the two`},
		{"odd keys", "log:\n  ? [a]\n  : b\n  ~: c\n", "2: log: a key must be a text\n4: log: a key must be a text"},
		{"own tag", "log:\n  level: !loud info\n", `2: log.level: the tag !loud means nothing here; leave it out`},
		{"in an alias", "x: &x {level: loud}\nlog: *x\n", "1: x: unknown key; known here: server, store, bus, dedup, playbooks, relay, endpoints, slack, connectors, audit, limits, log\n1: log.level: \"loud\" is none of debug, info, warn, error"},
		{"merge of a text", "log:\n  <<: loud\n  level: info\n", `2: log: << takes a mapping; write <<: *name`},

		// Types.
		{"section as list", "server: [a]\n", `1: server: must be keys with values, one "key: value" a line`},
		{"list as text", "relay:\n  schedule: 5s\n", `2: relay.schedule: must be a list; write [a, b], or "- a" lines`},
		{"text as list", "server:\n  listen:\n    - a\n", `2: server.listen: must be one value (text), not a list or keys with values`},
		{"map as list", "dedup:\n  profiles: [a]\n", `2: dedup.profiles: must be keys with values, one "key: value" a line`},
		{"no value", "server:\n  listen:\n", `2: server.listen: has no value; give one, or remove the line for the default`},
		{"no value in a list", "relay:\n  schedule: [5s, ~]\n", `2: relay.schedule[1]: has no value; give one, or remove the line for the default`},
		{"hidden by #", "endpoints:\n  - name: a\n    kind: slack\n    url: https://a.example\n    channel: #soc\n", "5: endpoints[0].channel: has no value; give one, or remove the line for the default; a value that starts with # must stand in quotes"},
		{"not a number", "relay:\n  workers: many\n", `2: relay.workers: "many" is not a whole number that fits; write digits only`},
		{"not whole", "relay:\n  workers: 1.5\n", `2: relay.workers: "1.5" is not a whole number that fits; write digits only`},
		{"too large to read", "relay:\n  workers: 99999999999999999999\n", `2: relay.workers: "99999999999999999999" is not a whole number that fits; write digits only`},
		{"not true", "server:\n  metrics: yes\n", `2: server.metrics: "yes" is neither true nor false`},
		{"not a fraction", "relay:\n  jitter: .nan\n", `2: relay.jitter: ".nan" is not a number; write for example 0.1`},
		{"duration without unit", "relay:\n  timeout: 15\n", `2: relay.timeout: "15" is not a duration; write for example 15s, 5m, 24h or 7d`},
		{"size without unit", "server:\n  body_limit: 5000\n", `2: server.body_limit: "5000" is not a size; write for example 64KiB, 5MiB or 1GiB`},
		{"long value", "server:\n  metrics: " + strings.Repeat("x", 100) + "\n", `2: server.metrics: "` + strings.Repeat("x", 60) + `"… is neither true nor false`},

		// Ranges, each end of each kind.
		{"too few", "relay:\n  workers: 0\n", `2: relay.workers: "0" is out of range; write 1 to 1024`},
		{"too many", "relay:\n  workers: 1025\n", `2: relay.workers: "1025" is out of range; write 1 to 1024`},
		{"too short", "relay:\n  timeout: 99ms\n", `2: relay.timeout: "99ms" is out of range; write 100ms to 5m`},
		{"too long, in a list", "relay:\n  schedule:\n    - 5s\n    - 8d\n", `4: relay.schedule[1]: "8d" is out of range; write 100ms to 7d`},
		{"too small", "server:\n  body_limit: 1023B\n", `2: server.body_limit: "1023B" is out of range; write 1KiB to 256MiB`},
		{"fraction", "relay:\n  jitter: 1.01\n", `2: relay.jitter: "1.01" is out of range; write 0 to 1`},
		{"window", "bus:\n  window: 0\n  max_backlog: 0\n  partitions: 0\n", "2: bus.window: \"0\" is out of range; write 1 to 10000\n3: bus.max_backlog: \"0\" is out of range; write 1 to 100000000\n4: bus.partitions: \"0\" is out of range; write 1 to 1024"},
		{"retention", "bus:\n  findings_retention: 59m\n  events_retention: -1h\n", "2: bus.findings_retention: \"59m\" is out of range; write 1h to 3650d\n3: bus.events_retention: \"-1h\" is out of range; write 1h to 3650d"},
		{"checkpoints", "audit:\n  checkpoint_interval: 0s\n  checkpoint_entries: 0\n", "2: audit.checkpoint_interval: \"0s\" is out of range; write 100ms to 24h\n3: audit.checkpoint_entries: \"0\" is out of range; write 1 to 1000000"},
		{"timeouts", "server:\n  read_timeout: 0s\n  idle_timeout: 2h\n  shutdown_timeout: 500ms\n", "2: server.read_timeout: \"0s\" is out of range; write 1s to 10m\n3: server.idle_timeout: \"2h\" is out of range; write 1s to 1h\n4: server.shutdown_timeout: \"500ms\" is out of range; write 1s to 10m"},
		{"cache", "store:\n  cache_size: 1KiB\n", `2: store.cache_size: "1KiB" is out of range; write 1MiB to 64GiB`},

		// One of several.
		{"bus kind", "bus:\n  kind: nats\n", `2: bus.kind: "nats" is none of embedded, kafka`},
		{"plan", "limits:\n  plan: gold\n  ingest_plan: Starter\n", "2: limits.plan: \"gold\" is none of starter, professional, enterprise, unlimited\n3: limits.ingest_plan: \"Starter\" is none of starter, professional, enterprise, unlimited"},
		{"log", "log:\n  level: INFO\n  format: xml\n", "2: log.level: \"INFO\" is none of debug, info, warn, error\n3: log.format: \"xml\" is none of text, json"},

		// What a section means.
		{"listen", "server:\n  listen: localhost\n", `2: server.listen: "localhost" is not an address; write host:port, such as 127.0.0.1:8080, or :8080 for every interface`},
		{"port", "server:\n  listen: 127.0.0.1:65536\n", `2: server.listen: "127.0.0.1:65536" is not an address; write host:port, such as 127.0.0.1:8080, or :8080 for every interface`},
		{"public url", "server:\n  public_url: tocsin.example.com\n", `2: server.public_url: is not an http or https address; write for example https://tocsin.example.com`},
		{"public url with a query", "server:\n  public_url: https://a.example/?b=c\n", `2: server.public_url: has a query; write the address only, such as https://tocsin.example.com`},
		{"no folder", "store:\n  dir: \"\"\n", `2: store.dir: is empty; name a folder, such as ./tocsin-data`},
		{"another store", "store:\n  url: mysql://u:geheim@db/tocsin\n", `2: store.url: no such store; leave this empty for tocsin.db in store.dir, or write sqlite:/path/to/file.db or postgres://user:password@host/database`},
		{"PostgreSQL without Kafka", "store:\n  url: postgres://u:geheim@db/tocsin\n", ` bus.kind: a PostgreSQL store needs bus.kind kafka; for one node without services leave store.url empty`},
		{"Kafka without PostgreSQL", "bus:\n  kind: kafka\n", `1: bus.kafka.brokers: is empty; name a broker, such as kafka:9092
2: bus.kind: kafka needs a store that all nodes share; write postgres://user:password@host/database into store.url`},
		{"Kafka", "store:\n  url: postgres://db/tocsin\nbus:\n  kind: kafka\n  kafka:\n    brokers: [kafka]\n    topic_prefix: a/b\n    min_insync: 2\n    cert_file: a.pem\n    sasl: plain", `5: bus.kafka.tls: is false, but certificates are given; write true
6: bus.kafka.brokers[0]: "kafka" is not an address; write host:port, such as kafka:9092
7: bus.kafka.topic_prefix: "a/b" cannot start the name of a topic; write up to 100 of a-z, A-Z, 0-9, dots, - and _
8: bus.kafka.min_insync: is more than bus.kafka.replication; no message could ever be accepted
9: bus.kafka.cert_file: and key_file belong together; give both or neither
10: bus.kafka.sasl: needs bus.kafka.username and bus.kafka.password`},
		{"store without a file", "store:\n  url: \"sqlite://\"\n", `2: store.url: no such store; leave this empty for tocsin.db in store.dir, or write sqlite:/path/to/file.db or postgres://user:password@host/database`},
		{"networks", "relay:\n  allow_networks:\n    - 10.1.2.3\n    - 10.1.2.3/16\n    - ten\n    - fe80::1%eth0\n", `3: relay.allow_networks[0]: "10.1.2.3" is an address, not a network; write 10.1.2.3/32
4: relay.allow_networks[1]: "10.1.2.3/16" has bits set behind the mask; write 10.1.0.0/16
5: relay.allow_networks[2]: "ten" is not a network; write for example 10.1.0.0/16 or fd00::/8
6: relay.allow_networks[3]: "fe80::1%eth0" is not a network; write for example 10.1.0.0/16 or fd00::/8`},
		{"user agent", "relay:\n  user_agent: \"a\\r\\nX-B: c\"\n", `2: relay.user_agent: must be 1 to 200 printable ASCII characters, such as Tocsin`},
		{"playbooks", "playbooks:\n  paths:\n    - .\n    - absent\n", `4: playbooks.paths[1]: the file or folder "DIR/absent" cannot be read: no such file or directory; make it, or name another`},
		{"profile", "dedup:\n  reopen_window: 400d\n  profiles:\n    falco:\n      discriminators: [rule, /a, /a]\n      volatile:\n        - /a\n        - /b~2\n      reopen: 1h\n", `2: dedup.reopen_window: "400d" is out of range; write 0s to 365d
5: dedup.profiles.falco.discriminators[0]: "rule" is not a JSON pointer; write for example /rule/id, with ~1 for a / inside a name
5: dedup.profiles.falco.discriminators[2]: "/a" is there twice; remove one
7: dedup.profiles.falco.volatile[0]: is a discriminator too; a value that changes without meaning cannot tell findings apart, so remove one of the two
8: dedup.profiles.falco.volatile[1]: "/b~2" is not a JSON pointer; write for example /rule/id, with ~1 for a / inside a name
9: dedup.profiles.falco.reopen: unknown key; known here: discriminators, shared_asset, reopen_window, volatile`},

		// Connectors: only what all have.
		{"connectors", "connectors:\n  - kind: cybervault\n    anything: [goes]\n  - name: A b\n  - name: same\n    kind: x\n  - name: same\n    kind: y\n  - text\n", `2: connectors[0].name: is missing; give a name that is unique, such as soc
4: connectors[1].kind: is missing; name the source system, such as cybervault or webhook
4: connectors[1].name: "A b" is not a name; write 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit
7: connectors[3].name: "same" is the name of connectors[2] already; give each its own
9: connectors[4]: must be keys with values, one "key: value" a line`},
	} {
		t.Run(c.name, func(t *testing.T) { checkProblems(t, c.text, nil, c.want) })
	}
}

// checkProblems loads text and compares what is told. In want, the name of the
// file is left out, and DIR is its folder.
func checkProblems(t *testing.T, text string, environ []string, want string) {
	t.Helper()
	path := write(t, text)
	c, err := Load(path, environ)
	if c == nil {
		t.Fatal("there is no config to go on with")
	}
	var problems Problems
	if !errors.As(err, &problems) && want != "" {
		t.Fatalf("no problem told, want\n%s", want)
	}
	got := strings.ReplaceAll(problems.Error(), path+":", "")
	got = strings.ReplaceAll(got, filepath.Dir(path), "DIR")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	for path, want := range map[string]string{
		"absent.yaml":                            "absent.yaml: cannot be read: there is no such file; name one that exists, or none for the defaults",
		".":                                      ".: cannot be read: it is a folder",
		write(t, strings.Repeat("#", maxFile+1)): "cannot be read: it is longer than 1MiB; a config file is much shorter",
	} {
		c, err := Load(path, nil)
		if c == nil || err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestEveryProblemAtOnceInOrder(t *testing.T) {
	text := `log: {level: loud}
endpoints:
  - {name: a, kind: fax}
relay:
  workers: 0
  worker: 1
  timeout: ${env:ABSENT}
`
	checkProblems(t, text, []string{"TOCSIN_BUS_WINDOW=none", "TOCSIN_BUS_WINDOWS=1"}, `1: log.level: "loud" is none of debug, info, warn, error
3: endpoints[0].kind: "fax" is none of webhook, slack, pagerduty, email, elasticsearch
5: relay.workers: "0" is out of range; write 1 to 1024
6: relay.worker: unknown key; did you mean workers?
7: relay.timeout: the environment variable ABSENT is not set; set it, or name another
environment TOCSIN_BUS_WINDOW: bus.window: "none" is not a whole number that fits; write digits only
environment TOCSIN_BUS_WINDOWS: unknown variable; did you mean TOCSIN_BUS_WINDOW?`)
}

func TestValuesAreTaken(t *testing.T) {
	c, err := Load(write(t, `
server:
  listen: "[::]:9000"
  idle_timeout: 30s
  body_limit: 2MB
  metrics: false
relay:
  allow_networks: [10.1.0.0/16, "fd00::/8"]
  schedule:
  - 1s
  - 1d12h
dedup:
  profiles:
    012345670123:
      reopen_window: 0s
      discriminators: [/a~1b]
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	window := time.Duration(0)
	wantServer := Default().Server
	wantServer.Listen, wantServer.IdleTimeout = "[::]:9000", 30*time.Second
	wantServer.BodyLimit, wantServer.Metrics = 2_000_000, false
	if c.Server != wantServer {
		t.Errorf("server: got %+v, want %+v", c.Server, wantServer)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}; !slices.Equal(c.Relay.AllowNetworks, want) {
		t.Errorf("networks: got %v, want %v", c.Relay.AllowNetworks, want)
	}
	if want := []time.Duration{time.Second, 36 * time.Hour}; !slices.Equal(c.Relay.Schedule, want) {
		t.Errorf("schedule: got %v, want %v", c.Relay.Schedule, want)
	}
	want := map[string]Profile{"012345670123": {ReopenWindow: &window, Discriminators: []string{"/a~1b"}}}
	if diff := cmp.Diff(want, c.Dedup.Profiles); diff != "" {
		t.Errorf("profiles: %s", diff)
	}
	if got := c.Dedup.Window("012345670123"); got != 0 {
		t.Errorf("reopen window of the profile: %v, want 0", got)
	}
	if got := c.Dedup.Window("another"); got != 24*time.Hour {
		t.Errorf("reopen window of another source: %v, want 24h", got)
	}
}

// TestMerge takes what an entry lacks from others: the first that has it, and
// what stands in the entry itself wins, wherever.
func TestMerge(t *testing.T) {
	c, err := Load(write(t, `
endpoints:
  - &a {name: a, kind: slack, url: https://a.example, timeout: 1s}
  - &b {name: b, kind: slack, url: https://b.example, timeout: 2s, rate_limit: 2}
  - <<: [*a, *b]
    name: c
  - description: x
    name: d
    <<: {<<: *b, timeout: 3s}
  - {name: e, kind: slack, url: https://e.example, events: &events [alert.*]}
  - {name: f, kind: slack, url: https://f.example, events: *events}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range c.Endpoints[2:] {
		got = append(got, fmt.Sprintln(e.Name, e.URL, e.Timeout, e.RateLimit, e.Description, e.Events))
	}
	want := []string{
		"c https://a.example 1s 2  []\n", "d https://b.example 3s 2 x []\n",
		"e https://e.example 0s 0  [alert.*]\n", "f https://f.example 0s 0  [alert.*]\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLogLevels(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got := (&Log{Level: text}).Slog(); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestDerived(t *testing.T) {
	for _, c := range []struct{ listen, public, want string }{
		{"127.0.0.1:8080", "", "http://127.0.0.1:8080"},
		{":80", "", "http://localhost:80"},
		{"0.0.0.0:80", "", "http://localhost:80"},
		{"[::]:80", "", "http://localhost:80"},
		{"[::1]:80", "", "http://[::1]:80"},
		{":80", "https://a.example/tocsin/", "https://a.example/tocsin"},
	} {
		s := Server{Listen: c.listen, PublicURL: c.public}
		if got := s.BaseURL(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c, got, c.want)
		}
	}
	c := Default()
	c.Store.Dir = "/data"
	got := []string{c.Store.File(), c.KeyFile(), c.CheckpointFile()}
	c.Store.URL, c.Audit.KeyFile, c.Audit.CheckpointFile = secret.New("sqlite:/fast/t.db"), "/k", "/c"
	got = append(got, c.Store.File(), c.KeyFile(), c.CheckpointFile())
	want := []string{"/data/tocsin.db", "/data/audit.key", "/data/audit.checkpoints", "/fast/t.db", "/k", "/c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecrets(t *testing.T) {
	const before = "endpoints:\n  - name: a\n    kind: pagerduty\n    routing_key: "
	key := strings.Repeat("k", 32)
	dir := t.TempDir()
	for name, text := range map[string]string{"key": key, "line": key + "\r\n", "empty": "\n", "long": strings.Repeat("x", maxSecret+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"KEY=" + key, "HALF=" + key[:16], "NONE=", "BAD=bad key", "WORKERS=geheim"}
	for _, c := range []struct{ value, want, problem string }{
		{value: key, want: key},
		{value: "${env:KEY}", want: key},
		{value: `"${env:HALF}${env:HALF}"`, want: key},
		{value: "${file:" + dir + "/key}", want: key},
		{value: "${file:key}", want: key},
		{value: "${file:line}", want: key},
		{value: "${env:ABSENT}", problem: "the environment variable ABSENT is not set; set it, or name another"},
		{value: "${env:NONE}", problem: "the environment variable NONE is not set; set it, or name another"},
		{value: "${file:absent}", problem: "the file DIR/absent cannot be read: no such file or directory; make it, or name another"},
		{value: "${file:.}", problem: "the file DIR cannot be read: it is a folder"},
		{value: "${file:empty}", problem: "the file DIR/empty is empty; put the value in it"},
		{value: "${file:long}", problem: "the file DIR/long is longer than 64KiB; name one that holds only the value"},
		{value: "${KEY}", problem: "this reference means nothing; write ${env:NAME} or ${file:PATH}, or $${ for the text ${"},
		{value: "${vault:KEY}", problem: "this reference means nothing; write ${env:NAME} or ${file:PATH}, or $${ for the text ${"},
		{value: "${env:}", problem: "this reference means nothing; write ${env:NAME} or ${file:PATH}, or $${ for the text ${"},
		{value: `"${env:KEY"`, problem: "this reference means nothing; write ${env:NAME} or ${file:PATH}, or $${ for the text ${"},
		{value: "${env:BAD}", problem: "is not an integration key; PagerDuty's have 32 letters and digits"},
	} {
		path := filepath.Join(dir, "tocsin.yaml")
		if err := os.WriteFile(path, []byte(before+c.value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(path, environ)
		want := ""
		if c.problem != "" {
			want = path + ":4: endpoints[0].routing_key: " + strings.ReplaceAll(c.problem, "DIR", dir)
		}
		if got := fmt.Sprint(Problems.Error(asProblems(err))); got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.value, got, want)
		}
		if got := cfg.Endpoints[0].RoutingKey.Reveal(); c.problem == "" && got != c.want {
			t.Errorf("%s: got %q, want %q", c.value, got, c.want)
		}
	}
}

func asProblems(err error) Problems {
	var p Problems
	errors.As(err, &p)
	return p
}

// TestSecretsAreNotShown puts what references give where it does not belong:
// no problem may repeat it, and no print of the config.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "geheim:// x"
	text := `
server: {listen: "${env:S}", public_url: "${env:S}", body_limit: "${env:S}", metrics: "${env:S}"}
store: {url: "${env:S}"}
relay: {workers: "${env:S}", timeout: "${env:S}", allow_networks: ["${env:S}"], jitter: "${env:S}", schedule: "${env:S}"}
log: {level: "${env:S}"}
dedup: {profiles: {a: {discriminators: ["${env:S}"], volatile: ["${env:S}", "${env:S}"]}}}
playbooks: {paths: ["${env:S}"]}
connectors: [{name: "${env:S}", kind: "${env:S}"}, "${env:S}"]
endpoints:
  - {name: "${env:S}", kind: webhook, url: "${env:S}", secret: "${env:S}", events: ["${env:S}"], headers: {"X Y": "${env:S}"}, signing: [{type: "${env:S}", header: "${env:S}"}]}
  - {name: "${env:S}", kind: elasticsearch, url: "${env:S}", namespace: "${env:S}", api_key: "${env:S}"}
  - {name: b, kind: slack, bot_token: "${env:S}", channel: "${env:S}", api_url: "${env:S}"}
`
	c, err := Load(write(t, text), []string{"S=" + secret})
	if n := len(asProblems(err)); n < 25 {
		t.Errorf("only %d problems:\n%v", n, err)
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		if strings.Contains(line, "geheim") {
			t.Errorf("shows the secret: %s", line)
		}
	}
	c.Server, c.Store, c.Playbooks = Server{}, Store{}, Playbooks{} // these hold no secrets by nature
	c.Dedup, c.Connectors[0].Name, c.Connectors[0].Kind = Dedup{}, "", ""
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		e.Name, e.URL, e.APIURL, e.Channel, e.Namespace, e.Events, e.Signing = "", "", "", "", "", nil, nil
	}
	if got := fmt.Sprintf("%v %+v %#v", c, *c, *c); strings.Contains(got, "geheim") {
		t.Errorf("the config shows it: %s", got)
	}
}

func TestTextsThatAreNoReferences(t *testing.T) {
	for text, want := range map[string]string{
		"$${env:X}":                       "${env:X}",
		"a $${ b":                         "a ${ b",
		"$$${env:ONE}":                    "$${env:ONE}",
		"${{ alert.id }}":                 "${{ alert.id }}",
		"${{ {'a': 1}[x] }} ${env:ONE}":   "${{ {'a': 1}[x] }} 1",
		"cost: 5$ {really}":               "cost: 5$ {really}",
		"${env:ONE}$${x}${{ y }}$":        "1${x}${{ y }}$",
		"${env:REF}":                      "${env:ONE}", // what a reference gives is not read again
		"${env:ONE}${env:ONE}$${env:ONE}": "11${env:ONE}",
	} {
		c, err := Load(write(t, "endpoints: [{name: a, kind: slack, url: \"https://a.example\", filter: \""+text+"\"}]"), []string{"ONE=1", "REF=${env:ONE}"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Endpoints[0].Filter; got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	path := write(t, "relay:\n  workers: 3\n  allow_networks: [10.0.0.0/8, bad]\n  timeout: 1s\nplaybooks: {paths: [.]}\n")
	dir := t.TempDir()
	environ := []string{
		"TOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8, 10.1.0.0/16,",
		"TOCSIN_RELAY_WORKERS=4", "TOCSIN_RELAY_WORKERS=5",
		"TOCSIN_RELAY_TIMEOUT=", "TOCSIN_SERVER_METRICS=false", "TOCSIN_SERVER_BODY_LIMIT=1MiB",
		"TOCSIN_PLAYBOOKS_PATHS=" + dir, "TOCSIN_STORE_DIR=${env:DATA}", "DATA=/data",
		"TOCSIN_LIMITS_INGEST_PLAN=starter", "TOCSIN_AUDIT_CHECKPOINT_INTERVAL=1m",
		// No business of ours.
		"TOCSIN_ADMIN_PASSWORD=x", "TOCSIN_API_KEY=x", "TOCSIN_URL=x", "TOCSIN_SERVER=x", "TOCSIN=", "PATH=/bin", "odd",
		"TOCSIN_SERVER_SERVICE_HOST=10.0.0.1", "TOCSIN_SERVER_PORT=tcp://10.0.0.1:80", "TOCSIN_SERVER_PORT_80_TCP_ADDR=10.0.0.1", "TOCSIN_SERVER_SERVICE_PORT_HTTP=80",
	}
	c, err := Load(path, environ)
	want := path + `:3: relay.allow_networks[1]: "bad" is not a network; write for example 10.1.0.0/16 or fd00::/8`
	if got := asProblems(err).Error(); got != want { // the file is wrong even where a variable wins
		t.Errorf("got %s, want %s", got, want)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16")}; !slices.Equal(c.Relay.AllowNetworks, want) {
		t.Errorf("networks: got %v, want %v", c.Relay.AllowNetworks, want)
	}
	got := fmt.Sprintln(c.Relay.Workers, c.Relay.Timeout, c.Server.Metrics, c.Server.BodyLimit, c.Playbooks.Paths, c.Store.Dir, c.Limits.IngestPlan, c.Limits.Plan, c.Audit.CheckpointInterval)
	if want := fmt.Sprintln(5, "1s", false, "1MiB", []string{dir}, "/data", "starter", "unlimited", "1m0s"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWrongEnvironment(t *testing.T) {
	checkProblems(t, "server:\n  listen: bad\n", []string{
		"TOCSIN_SERVER_LISTEN=worse", "TOCSIN_RELAY_SCHEDULE=5s,soon", "TOCSIN_STORE_CACHE_SIZE=${env:ABSENT}",
		"TOCSIN_RELAY_ALOW_NETWORKS=10.0.0.0/8", "TOCSIN_ENDPOINTS_0_URL=x", "TOCSIN_LOG_COLOUR=red",
	}, `environment TOCSIN_ENDPOINTS_0_URL: unknown variable; entries of endpoints cannot be set by variables; write ${env:NAME} where the file needs one
environment TOCSIN_LOG_COLOUR: unknown variable; known here: TOCSIN_LOG_FORMAT, TOCSIN_LOG_LEVEL
environment TOCSIN_RELAY_ALOW_NETWORKS: unknown variable; did you mean TOCSIN_RELAY_ALLOW_NETWORKS?
environment TOCSIN_RELAY_SCHEDULE: relay.schedule[1]: "soon" is not a duration; write for example 15s, 5m, 24h or 7d
environment TOCSIN_SERVER_LISTEN: server.listen: "worse" is not an address; write host:port, such as 127.0.0.1:8080, or :8080 for every interface
environment TOCSIN_STORE_CACHE_SIZE: store.cache_size: the environment variable ABSENT is not set; set it, or name another`)
}

// TestEveryVariableWorks sets each to its own default, and to nonsense.
func TestEveryVariableWorks(t *testing.T) {
	c := Default()
	keys := envKeys(c)
	if len(keys) < 30 {
		t.Fatalf("only %d variables: %v", len(keys), slices.Sorted(maps.Keys(keys)))
	}
	for name, k := range keys {
		_, err := Load("", []string{name + "=" + formatValue(k.value)})
		if err != nil {
			t.Errorf("the default: %v", err)
		}
		got, err := Load("", []string{name + "=\x01nonsense"})
		if err != nil {
			continue
		}
		if fmt.Sprintf("%+v", *got) == fmt.Sprintf("%+v", *c) {
			t.Errorf("%s has no effect", name)
		}
	}
}

// TestAliasesCannotFillTheMemory writes out a billion laughs.
func TestAliasesCannotFillTheMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "b%d: &a%d [%s]\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	_, err := Load(write(t, b.String()), nil)
	if err == nil || !strings.Contains(err.Error(), "too much here") {
		t.Errorf("got %.200v", err)
	}
	_, err = Load(write(t, "connectors: &a [*a]\nlog: &b {<<: *b}\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "too much here") {
		t.Errorf("a value that holds itself: %.200v", err)
	}
}

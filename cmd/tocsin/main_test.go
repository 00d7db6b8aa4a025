package main

import (
	"bytes"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tocsin": func() { os.Exit(tocsin()) }})
}

// The scripts are the program as its users see it. TOCSIN_URL is a stand-in for
// a hub; ADDR is free for a real one.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			server := httptest.NewServer(newStandIn())
			e.Defer(server.Close)
			e.Setenv("TOCSIN_URL", server.URL)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("ADDR", l.Addr().String())
			return l.Close()
		},
	})
}

// runIn runs the program in this process.
func runIn(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	code = p.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// nodes gives every command and group with the words that lead to it.
func nodes(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := newParser(&program{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*kong.Node{}
	var walk func(path []string, n *kong.Node)
	walk = func(path []string, n *kong.Node) {
		all[strings.Join(path, " ")] = n
		for _, c := range n.Children {
			walk(append(path[:len(path):len(path)], c.Name), c)
		}
	}
	walk(nil, parser.Model.Node)
	return all
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	all := nodes(t)
	if len(all) < 40 {
		t.Fatalf("only %d commands were found", len(all))
	}
	for path := range all {
		code, stdout, stderr := runIn(t, append(strings.Fields(path), "--help")...)
		if code != 0 || stderr != "" {
			t.Errorf("%s --help exits with %d: %s", path, code, stderr)
		}
		if !strings.Contains(stdout, "Example") || !strings.Contains(stdout, "tocsin "+path) {
			t.Errorf("%s --help has no example:\n%s", path, stdout)
		}
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	for path, n := range nodes(t) {
		if n.Help == "" {
			t.Errorf("%s has no help", path)
		}
		for _, f := range n.Flags {
			if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
				t.Errorf("%s --%s: %q is no sentence", path, f.Name, f.Help)
			}
		}
	}
}

func TestBadUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `expected one of "serve", "demo"`},
		{[]string{"servee"}, `unexpected argument servee, did you mean "serve"?`},
		{[]string{"alerts", "lst"}, `did you mean "list"?`},
		{[]string{"serve", "--lisen", "x"}, `unknown flag --lisen, did you mean "--listen"?`},
		{[]string{"check"}, `expected "<file>"`},
		{[]string{"send", "--format", "xml", "x"}, `"xml" is no format; there are json, ndjson`},
		{[]string{"audit", "export", "--format", "xml"}, `must be one of "ndjson","json","csv"`},
		{[]string{"audit", "verify", "--data", "a", "--file", "b"}, "can't be used together"},
		{[]string{"alerts", "list", "--limit", "0", "--url", "http://127.0.0.1:1"}, "--limit must be at least 1"},
		{[]string{"keys", "create", "x"}, "missing flags: --role=ROLE"},
		{[]string{"alerts", "list", "--url", "localhost"}, `"localhost" is not the address of a hub`},
		{[]string{"playbook", "test"}, "name files or folders of playbooks"},
	} {
		code, stdout, stderr := runIn(t, c.args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%v exits with %d, prints %q and says:\n%swant 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

// Texts of others must not reach the terminal as they are.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"harmless – ünïcode":            "harmless – ünïcode",
		"\x1b[2Jcleared\a\r\nspoofed\t": " [2Jcleared   spoofed ",
		"\u202egnp.exe":                 " gnp.exe",
		strings.Repeat("x", 80):         strings.Repeat("x", 72) + "…",
		"\xff\xfe":                      "\uFFFD\uFFFD",
	} {
		if got := plain(in, maxCell); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestKeyOfThisMachineGoesNowhereElse(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:80": true,
		"http://127.0.0.1.example.com": false, "https://hub.example.com": false, "http://10.0.0.1": false, "http://0.0.0.0": false, "%": false,
	} {
		if got := onThisMachine(address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"che"}, "check"},
		{[]string{"audit", ""}, "verify export"},
		{[]string{"keys", "create", "--role", "in"}, "ingest"},
		{[]string{"keys", "create", "--role", "ingest", "--ex"}, "--expires"},
		{[]string{"keys", "create", "--role", "ingest", "--js"}, "--json"},
		{[]string{"completion", ""}, "bash zsh fish"},
		{[]string{"check", ""}, ""},
		{[]string{"__comp"}, ""},
		{[]string{"send", "--json", "--fo"}, "--format"},
	} {
		code, stdout, stderr := runIn(t, append([]string{"__complete", "--"}, c.words...)...)
		if got := strings.Join(strings.Fields(stdout), " "); code != 0 || got != c.want {
			t.Errorf("%v offers %q, want %q (%d %s)", c.words, got, c.want, code, stderr)
		}
	}
}

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad gives the loader any file: it never panics, every problem has a
// place and a text, and what is fine once is fine again.
func FuzzLoad(f *testing.F) {
	f.Add(Sample)
	for _, text := range []string{
		rawText, "a: &a [*a]", "<<: {log: {level: info}}", "relay: {schedule: [5s]}", "? {a: b}\n: c", "!!binary x",
		"endpoints:\n  - {name: a, kind: webhook, url: 'http://a', secret: '${env:X}', retry: {initial: 1s}}",
		"dedup: {profiles: {'a\"].b': {discriminators: [/a, /a]}}}", "server: {listen: '${file:tocsin.yaml}'}", "%YAML 1.1\n---\n- &x a\n- *x\n...\n",
		"endpoints: [~, {headers: {'\"]': a}}]", "connectors: [~]",
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "tocsin.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, []string{"X=1"})
		if c == nil {
			t.Fatal("no config")
		}
		lines := 1
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // all that end a line in YAML
			lines += strings.Count(string(text), end)
		}
		for _, p := range asProblems(err) {
			if p.File == "" || p.Text == "" || p.Line < 0 || p.Line > lines {
				t.Errorf("problem without a place: %+v", p)
			}
		}
		for _, one := range c.Connectors {
			_ = one.Raw.Decode(&owned{})
			c.Problem(one.Raw.Path()+".x", "y")
		}
		for i := range c.Endpoints {
			c.Endpoints[i].Hub()
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("TOCSIN_RELAY_SCHEDULE", "5s,${env:X},")
	f.Add("TOCSIN_SERVER_LISTEN", ":80")
	f.Fuzz(func(t *testing.T, name, value string) {
		if c, _ := Load("", []string{"X=1", name + "=" + value, name}); c == nil {
			t.Fatal("no config")
		}
	})
}

package configs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const docsFile = "../docs/configuration.md"

const docsHead = `<!-- Made by: go test ./configs -update -->
# Configuration

` + "`tocsin serve`" + ` needs no configuration. With ` + "`--config FILE`" + ` it reads one YAML file, such as
[tocsin.yaml](../configs/tocsin.yaml), which shows every key with its default; smaller ones are in
[examples](../configs/examples). ` + "`tocsin check FILE`" + ` tells everything that is wrong, each with file, line and path.

- **Order.** Flags win over environment variables, variables win over the file, the file wins over the defaults.
- **Variables.** ` + "`TOCSIN_<SECTION>_<KEY>`" + ` sets a key, lists with commas:
  ` + "`TOCSIN_RELAY_ALLOW_NETWORKS=127.0.0.0/8,10.1.0.0/16`" + `. An empty variable counts as not set. A variable that names a
  section but no key of it is refused, as an unknown key is. Entries of lists and maps have no variables; write references there.
- **Secrets** do not belong in the file. Anywhere in a value, ` + "`${env:NAME}`" + ` stands for an environment variable and
  ` + "`${file:PATH}`" + ` for the content of a file without its last line end; one that is missing or empty is a problem. Write ` + "`$${`" + ` for
  the text ` + "`${`" + `. The ` + "`${{ … }}`" + ` of playbooks and mappings is left alone.
- **Paths.** Relative ones after ` + "`file:`" + ` and in ` + "`playbooks.paths`" + ` are beside the config file; those the hub writes to
  (` + "`store.dir`, `audit.key_file`, `audit.checkpoint_file`" + `), and all in variables, are in the folder it runs in.
- **Durations** are written like ` + "`15s`, `5m`, `1h30m`, `7d`" + `; **sizes** like ` + "`64KiB`, `5MiB`, `1GiB`" + `; **networks** like ` + "`10.1.0.0/16`" + `.
- Values keep their text where text is wanted: the account ` + "`012345670123`" + ` needs no quotes. A value that starts with ` + "`#`" + ` does.
`

// docs makes the page out of [Keys].
func docs() []byte {
	var b bytes.Buffer
	b.WriteString(docsHead)
	keys := Keys()
	for _, section := range keys {
		if strings.ContainsAny(section.Path, ".[") {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", section.Path, section.Doc)
		inside := func(k Key) bool {
			return strings.HasPrefix(k.Path, section.Path+".") || strings.HasPrefix(k.Path, section.Path+"[]")
		}
		rows := slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return !inside(k) })
		if section.Path == "endpoints" {
			writeKinds(&b)
		}
		writeTable(&b, rows)
	}
	return b.Bytes()
}

func writeTable(b *bytes.Buffer, rows []Key) {
	b.WriteString("\n| key | type | default | |\n| --- | --- | --- | --- |\n")
	for _, k := range rows {
		doc, typ := k.Doc, k.Type
		if k.Env != "" {
			doc += " `" + k.Env + "`"
		}
		if k.Range != "" {
			typ += ": " + k.Range
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Path, typ, code(k.Default), strings.ReplaceAll(doc, "|", `\|`))
	}
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// writeKinds tells which fields each kind of endpoint takes.
func writeKinds(b *bytes.Buffer) {
	b.WriteString("\nEvery kind takes `" + strings.Join(commonFields[:], "`, `") + "`.\n\n| kind | needs | may have |\n| --- | --- | --- |\n")
	for _, r := range kindRules {
		needs := slices.Clone(r.required)
		for _, pair := range r.either {
			needs = append(needs, pair[0]+"` or `"+pair[1])
		}
		fmt.Fprintf(b, "| `%s` | `%s` | `%s` |\n", r.kind, strings.Join(needs, "`, `"), strings.Join(r.optional, "`, `"))
	}
}

func TestDocs(t *testing.T) {
	want := docs()
	if *update {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale (%v); run go test ./configs -update", docsFile, err)
	}
}

func TestKeys(t *testing.T) {
	want := []Key{
		{Path: "relay.allow_networks", Env: "TOCSIN_RELAY_ALLOW_NETWORKS", Type: "list of network"},
		{Path: "bus.findings_retention", Env: "TOCSIN_BUS_FINDINGS_RETENTION", Type: "duration", Default: "7d", Range: "1h to 3650d"},
		{Path: "limits.plan", Env: "TOCSIN_LIMITS_PLAN", Type: "text", Default: "unlimited", Range: "starter, professional, enterprise, unlimited"},
		{Path: "store.cache_size", Env: "TOCSIN_STORE_CACHE_SIZE", Type: "size", Default: "64MiB", Range: "1MiB to 64GiB"},
		{Path: "dedup.profiles", Type: "map of section"},
		{Path: "dedup.profiles.<source>.reopen_window", Type: "duration", Range: "0s to 365d"},
		{Path: "endpoints[].enabled", Type: "true or false", Default: "true"},
		{Path: "endpoints[].headers", Type: "map of secret"},
		{Path: "endpoints[].retry.schedule", Type: "list of duration", Range: "100ms to 7d"},
		{Path: "endpoints[].signing[].type", Type: "text", Range: "hex, timestamped"},
		{Path: "connectors[].name", Type: "text"},
		{Path: "relay.schedule", Env: "TOCSIN_RELAY_SCHEDULE", Type: "list of duration", Default: "5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h", Range: "100ms to 7d"},
	}
	keys := Keys()
	for _, w := range want {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Path == w.Path })
		if i < 0 {
			t.Errorf("%s is not listed", w.Path)
			continue
		}
		got := keys[i]
		if got.Doc = ""; got != w {
			t.Errorf("got  %+v\nwant %+v", got, w)
		}
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s has no sentence: %q", k.Path, k.Doc)
		}
		if k.Env != "" && seen[k.Env] || seen[k.Path] {
			t.Errorf("%s or %s is there twice", k.Env, k.Path)
		}
		seen[k.Env], seen[k.Path] = true, true
	}
}

// TestBoundsAreReadable reads the bounds of every field, which the loader does
// only when a value comes.
func TestBoundsAreReadable(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch {
		case typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map:
			walk(typ.Elem())
		case typ.Kind() == reflect.Struct && !isScalar(typ):
			for _, f := range fieldsOf(typ) {
				walk(f.typ)
				inner := f.typ
				for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
					inner = inner.Elem()
				}
				for _, bound := range []string{f.min, f.max} {
					if bound == "" {
						continue
					}
					if fault := setText(bound, reflect.New(inner).Elem()); fault != "" {
						t.Errorf("%s: bound %s%s", f.name, bound, fault)
					}
				}
				if f.min != "" && f.max != "" {
					v := reflect.New(inner).Elem()
					setText(f.min, v)
					if compare(v, f.max) >= 0 {
						t.Errorf("%s: nothing fits between %s and %s", f.name, f.min, f.max)
					}
				}
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}

package tocsin

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every package says once what it is for.
func TestOnePackageComment(t *testing.T) {
	comments, files := map[string][]string{}, map[string]bool{}
	eachGoFile(t, func(pkg, file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		files[pkg] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Error(err)
			return
		}
		if parsed.Doc != nil && !strings.HasPrefix(parsed.Doc.Text(), "Code generated") {
			comments[pkg] = append(comments[pkg], file)
		}
	})
	for pkg := range files {
		if n := len(comments[pkg]); n != 1 {
			t.Errorf("package %q has %d package comments, want 1: %v", pkg, n, comments[pkg])
		}
	}
}

// Every connector and target brings its page, its sample and its cases.
func TestPluginFolders(t *testing.T) {
	for _, c := range []struct {
		root  string
		skip  []string
		files []string
	}{
		{"connectors", []string{"connectortest", "list", "carried"}, []string{"README.md", "sample.yaml", "testdata/cases"}},
		{"relay", []string{"relaytest", "sign", "template"}, []string{"README.md", "sample.yaml"}},
	} {
		entries, err := os.ReadDir(c.root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() || strings.Contains(strings.Join(c.skip, " "), e.Name()) {
				continue
			}
			for _, f := range c.files {
				if _, err := os.Stat(filepath.Join(c.root, e.Name(), f)); err != nil {
					t.Errorf("%s/%s has no %s", c.root, e.Name(), f)
				}
			}
		}
	}
}

// The README has the two commands that a newcomer needs.
func TestReadmeCommands(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"make demo", "make test"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("README.md does not say %q", want)
		}
	}
}

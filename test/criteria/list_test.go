package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every test of the list is there, and the page says what it shows; the page names
// none that is not run.
func TestTheListIsThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/criteria.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, c := range criteria {
		for _, s := range c.tests {
			code := ""
			files, _ := filepath.Glob(filepath.Join("../..", s.pkg, "*_test.go"))
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				code += string(text)
			}
			for _, name := range s.names {
				listed[name] = true
				if !strings.Contains(code, "\nfunc "+name+"(t *testing.T)") {
					t.Errorf("criterion %d: %s is not in %s", c.number, name, s.pkg)
				}
				if !strings.Contains(string(page), "`"+name+"`") {
					t.Errorf("criterion %d: docs/criteria.md does not name %s", c.number, name)
				}
			}
		}
	}
	for i, part := range strings.Split(string(page), "`") {
		if i%2 == 1 && strings.HasPrefix(part, "Test") && !listed[part] {
			t.Errorf("docs/criteria.md names %s, which is not run", part)
		}
	}
}

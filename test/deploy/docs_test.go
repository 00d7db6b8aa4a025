package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/configs"
)

// pages are those that operators copy from.
var pages = []string{"README.md", "docs/operate.md", "docs/deploy.md", "docs/scale.md", "docs/backup.md", "docs/upgrade.md", "docs/failures.md"}

// commands gives the command lines of the program on a page, with the
// continuation of lines undone.
func commands(page string) (all []string) {
	page = strings.ReplaceAll(page, "\\\n", " ")
	for _, m := range regexp.MustCompile("(?m)(?:^ *|`|&& |/)(tocsin [a-z][^`\n#&|>]*)").FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

// Every command that a page shows exists, with its flags.
func TestCommandsOfThePages(t *testing.T) {
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	help := map[string]string{}
	helpOf := func(words []string) string {
		key := strings.Join(words, " ")
		if text, known := help[key]; known {
			return text
		}
		out, err := exec.CommandContext(t.Context(), binary, append(words, "--help")...).Output()
		if err != nil {
			out = nil
		}
		help[key] = string(out)
		return help[key]
	}
	count := 0
	for _, page := range pages {
		for _, line := range commands(read(t, page)) {
			count++
			words, flags := wordsOf(line)
			text := ""
			for ; len(words) > 0 && text == ""; words = words[:len(words)-1] {
				text = helpOf(slices.Clone(words))
			}
			if text == "" {
				t.Errorf("%s: %q is no command", page, line)
				continue
			}
			for _, f := range flags {
				if !regexp.MustCompile(`(^|[^-\w])` + regexp.QuoteMeta(f) + `\b`).MatchString(text) {
					t.Errorf("%s: %q: there is no flag %s", page, line, f)
				}
			}
		}
	}
	if count < 25 {
		t.Errorf("only %d commands were found", count)
	}
}

// wordsOf gives the words that may be commands, and the flags.
func wordsOf(line string) (words, flags []string) {
	plain := regexp.MustCompile(`^[a-z-]+$`)
	for i, w := range strings.Fields(line)[1:] {
		switch {
		case strings.HasPrefix(w, "-"):
			flag, _, _ := strings.Cut(strings.TrimRight(w, ".,;:)"), "=")
			flags = append(flags, flag)
		case i == len(words) && len(words) < 2 && plain.MatchString(w):
			words = append(words, w)
		}
	}
	return words, flags
}

// Every file that a page points to is there, and every heading.
func TestLinksOfThePages(t *testing.T) {
	for _, page := range append(pages, "CONTRIBUTING.md", "docs/architecture.md") {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || target == "" {
				continue
			}
			path := filepath.Join(filepath.Dir(page), target)
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s points to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s points to %s, which has no such heading", page, m[1])
			}
		}
	}
}

func anchors(page string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

// The configuration of several nodes can be copied.
func TestConfigurationOfDeployPage(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "docs/deploy.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/deploy.md shows no configuration")
	}
	for _, b := range blocks {
		text := regexp.MustCompile(`/run/secrets/\w+`).ReplaceAllString(b[1], secret)
		file := filepath.Join(t.TempDir(), "tocsin.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := configs.Load(file, nil); err != nil || !cfg.Store.Postgres() {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

package demo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/configs"
)

var yamlBlock = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```")

// TestDocumentsLoad loads every YAML block of the pages that a newcomer copies
// from, and the demo's own configuration.
func TestDocumentsLoad(t *testing.T) {
	environ := []string{
		"SLACK_WEBHOOK_URL=https://hooks.slack.example.com/services/T/B/x", "SLACK_BOT_TOKEN=xoxb-test", "SLACK_SIGNING_SECRET=slack-signing-test",
		"PAGERDUTY_ROUTING_KEY=0123456789abcdef0123456789abcdef", "ELASTIC_API_KEY=aWQ6a2V5",
		"SOAR_HOOK_SECRET=" + newSecret(), "CYBERVAULT_TOKEN=cv_live_test", "CYBERVAULT_WEBHOOK_SECRET=cv_hook_test",
	}
	for _, page := range []string{"README.md", "docs/operate.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no YAML blocks", page)
		}
		for _, b := range blocks {
			block := strings.ReplaceAll("\n"+b[2], "\n"+b[1], "\n")
			block = strings.ReplaceAll(block, "/etc/tocsin/playbooks", "playbooks") // must be there
			dir := t.TempDir()
			if err := copyPlaybooks(filepath.Join(dir, "playbooks")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "tocsin.yaml")
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := configs.Load(file, environ); err != nil {
				t.Errorf("%s: %v\n%s", page, err, block)
			}
		}
	}
}

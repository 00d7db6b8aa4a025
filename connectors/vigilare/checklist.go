package vigilare

import (
	"fmt"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// attach writes a recovery checklist into a finding: for people behind the
// description, for playbooks and messages as labels. It is no part of the
// payload, because a checklist that changes is no new evidence.
func attach(f *hub.Finding, steps []step) {
	if len(steps) == 0 {
		return
	}
	var text strings.Builder
	titles := make([]string, 0, len(steps))
	text.WriteString(f.Description)
	if f.Description != "" {
		text.WriteString("\n\n")
	}
	text.WriteString("Recovery checklist:")
	for i, s := range steps {
		n := s.Step
		if n == 0 {
			n = i + 1
		}
		fmt.Fprintf(&text, "\n%d. %s", n, s.Title)
		for _, more := range []string{s.Description, s.DocsURL} {
			if more != "" {
				text.WriteString(" – " + more)
			}
		}
		titles = append(titles, fmt.Sprintf("%d. %s", n, s.Title))
	}
	f.Description = text.String()
	f.Labels["vigilare_checklist"] = strings.Join(titles, "; ")
	f.Labels["vigilare_checklist_url"] = steps[0].DocsURL
	inbound.Tidy(f)
}

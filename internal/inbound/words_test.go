package inbound

import (
	"slices"
	"testing"

	"github.com/tocsin/tocsin/hub"
)

func TestTypeOf(t *testing.T) {
	for _, k := range kinds {
		if !slices.Contains(hub.FindingTypes[:], k.kind) {
			t.Errorf("%q is no type of a finding", k.kind)
		}
	}
	for _, tt := range []struct {
		texts []string
		want  string
	}{
		{[]string{"HTTP: SQL Injection Attempt"}, "sql_injection"},
		{[]string{"Cross-Site Scripting (XSS)"}, "xss"},
		{[]string{"Login-failed for admin"}, "brute_force"},
		{[]string{"Trojan.Win32.Agent"}, "malware"},
		{[]string{"CVE-2026-1 exploited"}, "vulnerability"},
		{[]string{"IPS"}, "network"},
		{[]string{"kids tips skids"}, ""},
		{[]string{"", "nothing", "port scan"}, "network"},
		{[]string{"Ärger mit Firewall"}, "network"},
		{nil, ""},
	} {
		if got := TypeOf(tt.texts...); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.texts, got, tt.want)
		}
	}
}

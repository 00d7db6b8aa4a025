package wazuh

import (
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

func (a *alert) findings() []hub.Finding {
	f := hub.Finding{
		Status: hub.FindingOpen, Severity: a.severity(), ObservedAt: a.Time.Time, Raw: a.raw,
		Title:       inbound.Said(string(a.Rule.Description), "Wazuh rule "+string(a.Rule.ID)),
		Description: string(a.FullLog),
		Labels: map[string]string{
			"wazuh_rule": string(a.Rule.ID), "wazuh_groups": strings.Join(a.Rule.Groups, ","), "wazuh_location": string(a.Location),
			"wazuh_manager": string(a.Manager.Name), "mitre_technique_id": strings.Join(a.Rule.MITRE.ID, ","),
		},
	}
	a.asset(&f)
	switch d := &a.Data; {
	case d.Vulnerability != nil && d.Vulnerability.CVE != "":
		a.vulnerability(&f, d.Vulnerability)
	case d.SCA != nil && d.SCA.Check != nil && d.SCA.Check.ID != "":
		a.check(&f, d.SCA)
	default:
		a.event(&f)
	}
	return []hub.Finding{f}
}

// asset is the agent; the manager watches itself as agent 000.
func (a *alert) asset(f *hub.Finding) {
	f.AssetID = string(inbound.First(a.Agent.Name, a.Agent.ID, a.Manager.Name, "unknown"))
	f.Asset = &hub.Asset{Type: "host", Name: f.AssetID, Tags: map[string]string{"ip": string(a.Agent.IP), "wazuh_agent": string(a.Agent.ID)}}
}

// where is the agent within the identity.
func (a *alert) where() string {
	return string(inbound.First(a.Agent.ID, a.Agent.Name, a.Manager.Name))
}

// event maps an alert of a rule about events.
func (a *alert) event(f *hub.Finding) {
	d := &a.Data
	user := inbound.First(d.DstUser, d.User, d.Windows.EventData.Target)
	ip := inbound.First(d.SrcIP, d.Windows.EventData.IP)
	file := inbound.First(d.File, d.Windows.EventData.Image)
	if d.VirusTotal != nil {
		file = inbound.First(d.VirusTotal.Source.File, file)
	}
	if a.Syscheck != nil {
		file = inbound.First(a.Syscheck.Path, file)
		f.Description = strings.TrimSpace("File " + string(a.Syscheck.Path) + " was " + string(a.Syscheck.Event))
	}
	what := inbound.First(d.Title, a.Title)
	f.Type = a.kind()
	f.SourceID = inbound.Key(string(a.Rule.ID), a.where(), string(ip), string(d.DstIP), string(d.DstPort), string(d.SrcUser), string(user), string(file), string(what))
	f.Payload = inbound.Object(map[string]any{
		"rule": string(a.Rule.ID), "groups": []string(a.Rule.Groups), "agent": a.Agent.ID, "decoder": a.Decoder.Name,
		"srcip": ip, "dstip": d.DstIP, "dstport": d.DstPort, "srcuser": d.SrcUser, "user": user, "file": file, "title": what,
		"mitre": a.mitre(), "compliance": a.standards(),
	})
}

func (a *alert) mitre() map[string]any {
	m := &a.Rule.MITRE
	return members(map[string]texts{"id": m.ID, "tactic": m.Tactic, "technique": m.Technique})
}

func (a *alert) standards() map[string]any {
	r := &a.Rule
	return members(map[string]texts{"pci_dss": r.PCI, "gdpr": r.GDPR, "hipaa": r.HIPAA, "nist_800_53": r.NIST, "tsc": r.TSC})
}

func members(lists map[string]texts) map[string]any {
	m := map[string]any{}
	for name, list := range lists {
		if len(list) > 0 {
			m[name] = []string(list)
		}
	}
	return m
}

// vulnerability maps what the detector of vulnerabilities says: it has one rule
// for each severity and one for the end, so the rule is no part of the identity.
func (a *alert) vulnerability(f *hub.Finding, v *vulnerability) {
	f.Type = "vulnerability"
	f.SourceID = inbound.Key("vulnerability", a.where(), string(v.CVE), string(v.Package.Name))
	if s, ok := inbound.Severity(string(v.Severity)); ok {
		f.Severity = s
	}
	if strings.EqualFold(string(v.Status), "solved") {
		f.Status = hub.FindingResolved
	}
	f.Title = inbound.Said(string(v.Title), string(a.Rule.Description), string(v.CVE)+" in "+string(v.Package.Name))
	f.Description = strings.TrimSpace(string(v.Package.Condition) + "\n" + string(v.Reference))
	f.Vulnerability = &hub.Vulnerability{CVE: string(v.CVE), CVSS: v.score(), Package: string(v.Package.Name)}
	f.Payload = inbound.Object(map[string]any{
		"cve": v.CVE, "package": v.Package.Name, "version": v.Package.Version, "condition": v.Package.Condition, "agent": a.Agent.ID,
	})
}

func (v *vulnerability) score() *float64 {
	score := v.Score.Base.Bounded(0, 10)
	for _, version := range []string{"cvss2", "cvss3", "cvss4"} {
		if s := v.CVSS[version].Base.Bounded(0, 10); s != nil {
			score = s
		}
	}
	return score
}

// check maps a check of the configuration. One that passed ends what it failed
// before.
func (a *alert) check(f *hub.Finding, s *sca) {
	c := s.Check
	f.Type = "compliance"
	f.SourceID = inbound.Key("sca", a.where(), string(s.PolicyID), string(c.ID))
	f.Title = inbound.Said(string(c.Title), f.Title)
	f.Description = strings.TrimSpace(string(c.Rationale) + "\n" + string(c.Remediation))
	if result := strings.ToLower(string(c.Result)); result == "passed" || result == "not applicable" {
		f.Status = hub.FindingResolved
	}
	f.Compliance = &hub.Compliance{Framework: string(inbound.First(s.Policy, s.PolicyID)), Control: string(c.ID), Result: string(c.Result)}
	f.Payload = inbound.Object(map[string]any{
		"policy": s.PolicyID, "check": c.ID, "remediation": c.Remediation, "agent": a.Agent.ID, "compliance": a.standards(),
	})
}

// severity goes by the level of the rule, in the four bands of Wazuh's own
// dashboard (from 15 critical, 12 high, 7 medium, below low); rules up to 3 tell
// of what worked or was ignored.
func (a *alert) severity() hub.Severity {
	switch level := a.Rule.Level.Int(); {
	case level >= 15:
		return hub.Critical
	case level >= 12:
		return hub.High
	case level >= 7:
		return hub.Medium
	case level >= 4:
		return hub.Low
	}
	return hub.Info
}

// kinds gives the type for a group of rules. The first that fits counts, so
// what says more comes first.
var kinds = []struct {
	kind   string
	groups []string
}{
	{"sql_injection", []string{"sqlinjection", "sql_injection"}},
	{"xss", []string{"xss"}},
	{"malware", []string{"virustotal", "virus", "malware", "yara", "rootcheck", "rootkit", "windows_defender", "clamd", "trojan", "ransomware"}},
	{"vulnerability", []string{"vulnerability-detector", "exploit_attempt", "web_attack"}},
	{"brute_force", []string{"authentication_failures", "authentication_failed", "invalid_login", "win_authentication_failed", "multiple_authentication_failures"}},
	{"iam", []string{"account_changed", "adduser", "group_changed", "authentication_success", "sudo", "privilege_escalation", "login_denied"}},
	{"policy", []string{"policy_violation", "policy_changed", "access_denied", "audit"}},
	{"misconfiguration", []string{"sca", "oscap", "ciscat", "config_changed"}},
	{"network", []string{"ids", "firewall", "firewall_drop", "connection_attempt", "recon", "attack", "suricata", "web_scan"}},
	{"anomaly", []string{"syscheck", "service_availability", "system_error", "agent_flooding"}},
}

func (a *alert) kind() string {
	for _, k := range kinds {
		if slices.ContainsFunc(k.groups, func(g string) bool { return slices.Contains(a.Rule.Groups, g) }) {
			return k.kind
		}
	}
	return "custom"
}

package securityhub

import (
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

func finding(piece inbound.Piece) ([]hub.Finding, error) {
	a := asff{raw: piece.Raw}
	if err := inbound.Decode(piece.Raw, &a, false); err != nil {
		return nil, err
	}
	if a.ID == "" || a.ProductArn == "" {
		return nil, errors.New("it lacks Id or ProductArn, which are what tells findings apart")
	}
	f := hub.Finding{
		SourceID: inbound.Key(string(a.ProductArn), string(a.ID)), Type: a.kind(), Severity: a.severity(), Status: a.status(),
		Title: string(inbound.First(a.Title, a.GeneratorID, a.ID)), Description: string(a.Description),
		ObservedAt: a.updated(), Asset: a.asset(), AssetID: a.assetID(), Compliance: a.compliance(), Vulnerability: a.vulnerability(),
		Payload: a.payload(), Raw: a.raw, Labels: a.labels(),
	}
	return []hub.Finding{f}, nil
}

// severity goes by the label, which customers may have changed, then by what the
// product said, then by the number (1–39 low, 40–69 medium, 70–89 high).
func (a *asff) severity() hub.Severity {
	for _, s := range []severity{a.Severity, a.Provider.Severity} {
		if s.Label != "" {
			return inbound.SeverityOr(string(s.Label), hub.Medium)
		}
	}
	if n := a.Severity.Normalized; n.Given {
		switch {
		case n.Value >= 90:
			return hub.Critical
		case n.Value >= 70:
			return hub.High
		case n.Value >= 40:
			return hub.Medium
		case n.Value >= 1:
			return hub.Low
		}
		return hub.Info
	}
	return inbound.SeverityOr(string(inbound.First(a.Severity.Original, a.Provider.Severity.Original)), hub.Medium)
}

// status: a record that its product has archived, a workflow that somebody has
// ended, or a control that passes.
func (a *asff) status() hub.FindingStatus {
	switch {
	case a.RecordState == "ARCHIVED", a.Workflow.Status == "RESOLVED", a.Workflow.Status == "SUPPRESSED", a.Compliance.Status == "PASSED":
		return hub.FindingResolved
	}
	return hub.FindingOpen
}

// kind goes by what the finding holds, then by the first of its types, which are
// namespace/category/classifier.
func (a *asff) kind() string {
	switch {
	case len(a.Vulnerabilities) > 0:
		return "vulnerability"
	case len(a.Malware) > 0:
		return "malware"
	case a.Compliance.Status != "":
		return "compliance"
	}
	types := a.Types
	if len(types) == 0 {
		types = a.Provider.Types
	}
	if len(types) == 0 {
		return "custom"
	}
	return kindOf(string(types[0]))
}

// kinds maps the beginnings of types, the longer before the shorter.
var kinds = []struct{ prefix, kind string }{
	{"Software and Configuration Checks/Vulnerabilities", "vulnerability"},
	{"Software and Configuration Checks/Industry and Regulatory Standards", "compliance"},
	{"Software and Configuration Checks/AWS Security Best Practices/Network Reachability", "network"},
	{"Software and Configuration Checks", "misconfiguration"},
	{"Unusual Behaviors/Network Flow", "network"},
	{"Unusual Behaviors/User", "iam"},
	{"Unusual Behaviors", "anomaly"},
	{"Sensitive Data Identifications", "policy"},
	{"Effects/Data Exposure", "policy"},
	{"Effects", "anomaly"},
	{"TTPs", "anomaly"},
}

func kindOf(name string) string {
	last := name[strings.LastIndexByte(name, '/')+1:]
	switch {
	case strings.Contains(name, "BruteForce"):
		return "brute_force"
	case strings.HasPrefix(last, "CryptoCurrency:"), strings.HasPrefix(last, "Trojan:"), strings.HasPrefix(last, "Backdoor:"):
		return "malware"
	}
	for _, k := range kinds {
		if strings.HasPrefix(name, k.prefix) {
			return k.kind
		}
	}
	return "custom"
}

func (a *asff) updated() time.Time {
	if !a.UpdatedAt.IsZero() {
		return a.UpdatedAt.Time
	}
	return inbound.Latest(a.CreatedAt, a.FirstObserved, a.LastObserved)
}

// assetID is the first resource's, which is the one that the finding is about.
func (a *asff) assetID() string {
	if len(a.Resources) > 0 && a.Resources[0].ID != "" {
		return string(a.Resources[0].ID)
	}
	if a.AwsAccountID != "" {
		return "AWS::::Account:" + string(a.AwsAccountID)
	}
	return "unknown"
}

func (a *asff) asset() *hub.Asset {
	asset := &hub.Asset{Provider: "aws", Account: string(a.AwsAccountID), Region: string(a.Region)}
	if len(a.Resources) == 0 {
		return asset
	}
	r := a.Resources[0]
	asset.Type, asset.Tags = string(r.Type), map[string]string{}
	if r.Region != "" {
		asset.Region = string(r.Region)
	}
	for name, value := range r.Tags {
		asset.Tags[name] = string(value)
	}
	id := string(r.ID)
	asset.Name = string(inbound.First(r.Tags["Name"], text(id[strings.LastIndexAny(id, "/:")+1:])))
	return asset
}

func (a *asff) compliance() *hub.Compliance {
	if a.Compliance.Status == "" {
		return nil
	}
	c := &hub.Compliance{Result: strings.ToLower(string(a.Compliance.Status))}
	p := a.ProductFields
	c.Control = string(inbound.First(a.Compliance.ControlID, p["ControlId"], p["RuleId"], a.GeneratorID))
	if len(a.Compliance.Associated) > 0 {
		c.Framework = string(a.Compliance.Associated[0].ID)
	}
	if c.Framework == "" {
		c.Framework = afterLast(string(inbound.First(p["StandardsArn"], p["StandardsGuideArn"])), ":::")
	}
	return c
}

func afterLast(s, sep string) string {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[i+len(sep):]
	}
	return s
}

func (a *asff) vulnerability() *hub.Vulnerability {
	if len(a.Vulnerabilities) == 0 {
		return nil
	}
	v := a.Vulnerabilities[0]
	out := &hub.Vulnerability{CVE: string(v.ID)}
	for _, c := range v.Cvss {
		if score := c.BaseScore.Bounded(0, 10); score != nil && (out.CVSS == nil || c.Version >= "3") {
			out.CVSS = score
		}
	}
	if len(v.Packages) > 0 {
		out.Package, out.FixedVersion = string(v.Packages[0].Name), string(v.Packages[0].FixedIn)
	}
	return out
}

func (a *asff) labels() map[string]string {
	return map[string]string{
		"securityhub_workflow": string(a.Workflow.Status), "securityhub_record_state": string(a.RecordState), "securityhub_product": string(a.ProductName),
	}
}

// payload holds what stays as it is while a finding is reported again.
func (a *asff) payload() jsontext.Value {
	var resources []string
	for _, r := range a.Resources {
		resources = append(resources, string(r.ID))
	}
	return inbound.Object(map[string]any{
		"product_arn": a.ProductArn, "finding_id": a.ID, "generator_id": a.GeneratorID, "types": a.Types, "resources": resources,
		"remediation": a.Remediation.Recommendation.Text, "remediation_url": a.Remediation.Recommendation.URL, "source_url": a.SourceURL,
		"related_requirements": a.Compliance.Related,
	})
}

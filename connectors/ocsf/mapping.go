package ocsf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Classes of category 2.
const (
	classSecurity      = 2001 // deprecated since 1.1
	classVulnerability = 2002
	classCompliance    = 2003
	classDetection     = 2004
	classIncident      = 2005
	classData          = 2006
	classApplication   = 2007
	classIAM           = 2008
)

func finding(piece inbound.Piece) ([]hub.Finding, error) {
	var e event
	if err := inbound.Decode(piece.Raw, &e, false); err != nil {
		return nil, err
	}
	class := e.Class.Int()
	if class < classSecurity || class > classIAM {
		return nil, fmt.Errorf("class_uid: want a finding, 2001 to 2008, not %s", shown(e.Class))
	}
	e.settle(class)
	id := e.id(class)
	if id == "" {
		return nil, errors.New("finding_info.uid: is required; it is what tells findings apart")
	}
	p := e.Metadata.Product
	asset, assetID := e.asset()
	f := hub.Finding{
		SourceID: inbound.Key(string(inbound.First(p.UID, p.Name, p.Vendor)), id), Type: e.kind(class), AssetID: assetID, Asset: asset,
		Severity: e.severity(), Status: e.status(class), ObservedAt: e.at(), SourceSequence: e.sequence(),
		Title:       string(inbound.First(e.Info.Title, e.Message, e.Info.Analytic.Name, e.ClassName, text("Finding "+id))),
		Description: string(inbound.First(e.Info.Desc, e.Desc, e.Message)), Compliance: e.compliance(class), Vulnerability: e.vulnerability(),
		RiskScore: e.RiskScore.Bounded(0, 100), Raw: piece.Raw, Payload: e.payload(class),
		Labels: map[string]string{"ocsf_class": fmt.Sprint(class), "ocsf_status": string(e.Status), "ocsf_product": string(p.Name), "ocsf_vendor": string(p.Vendor)},
	}
	return []hub.Finding{f}, nil
}

func shown(n number) string {
	if n.Int() < 0 {
		return "none"
	}
	return fmt.Sprint(n.Int())
}

// settle puts what older versions and incidents have elsewhere in its place.
func (e *event) settle(class int) {
	if e.Info.UID == "" && class == classSecurity {
		e.Info = e.Old
	}
	if e.Info.UID == "" && e.Info.Title == "" && len(e.InfoList) > 0 {
		first := e.InfoList[0]
		e.Info.Title, e.Info.Desc, e.Info.Types, e.Info.Attacks = first.Title, first.Desc, first.Types, first.Attacks
	}
	if len(e.Resources) == 0 && (e.Resource.UID != "" || e.Resource.Name != "") {
		e.Resources = []resource{e.Resource}
	}
}

// id is the finding's uid. An incident has none of its own: what ties its events
// together is, in this order, the correlation uid, its ticket, its address, and
// the findings it is made of.
func (e *event) id(class int) string {
	if class != classIncident {
		return string(e.Info.UID)
	}
	if id := inbound.First(e.Metadata.Correlation, e.Ticket.UID, e.SrcURL); id != "" {
		return string(id)
	}
	var parts []string
	for _, i := range e.InfoList {
		parts = append(parts, string(i.UID))
	}
	slices.Sort(parts)
	if id := strings.Trim(inbound.Key(parts...), "|"); id != "" {
		return id
	}
	return string(e.Metadata.UID)
}

func (e *event) severity() hub.Severity {
	switch e.SeverityID.Int() {
	case 1:
		return hub.Info
	case 2:
		return hub.Low
	case 3:
		return hub.Medium
	case 4:
		return hub.High
	case 5, 6:
		return hub.Critical
	}
	if strings.EqualFold(string(e.Severity), "unknown") || strings.EqualFold(string(e.Severity), "other") {
		return hub.Medium
	}
	return inbound.SeverityOr(string(e.Severity), hub.Medium)
}

// status: 3 is Suppressed, 4 Resolved, 5 Archived, 6 Deleted; of an incident 3
// is On Hold, 4 Resolved, 5 Closed. In 2001 the same stands in state_id.
func (e *event) status(class int) hub.FindingStatus {
	id := e.StatusID.Int()
	if class == classSecurity {
		id = e.StateID.Int()
	}
	closed := id >= 4 && id <= 6 || id == 3 && class != classIncident
	if class == classIncident {
		closed = id == 4 || id == 5
	}
	passed := e.Compliance.StatusID.Int() == 1 || strings.EqualFold(string(e.Compliance.Status), "pass") ||
		strings.EqualFold(string(e.Compliance.StatusCode), "pass") || strings.EqualFold(string(e.StatusCode), "pass")
	if e.Activity.Int() == 3 || closed || passed {
		return hub.FindingResolved
	}
	return hub.FindingOpen
}

func (e *event) at() time.Time {
	if !e.Time.IsZero() {
		return e.Time.Time
	}
	return inbound.Latest(e.Info.Modified, e.Info.LastSeen, e.Info.Created)
}

func (e *event) sequence() int64 { return int64(max(e.Metadata.Sequence.Int(), 0)) }

func (e *event) kind(class int) string {
	switch class {
	case classVulnerability, classApplication:
		return "vulnerability"
	case classCompliance:
		return "compliance"
	case classData:
		return "policy"
	case classIAM:
		return "iam"
	}
	types := strings.ToLower(strings.Join(plain(e.Info.Types), " "))
	switch {
	case len(e.Malware) > 0, strings.Contains(types, "malware"), strings.Contains(types, "trojan"):
		return "malware"
	case len(e.Vulnerabilities) > 0:
		return "vulnerability"
	case strings.Contains(types, "bruteforce"), strings.Contains(types, "brute force"):
		return "brute_force"
	case strings.Contains(types, "configuration"), strings.EqualFold(string(e.StatusCode), "fail"), strings.EqualFold(string(e.StatusCode), "pass"):
		return "misconfiguration" // posture tools report their checks as detections
	case e.Compliance.Control != "" || e.Compliance.StatusID.Given:
		return "compliance"
	case class == classIncident:
		return "custom"
	}
	return "anomaly"
}

func plain(all []text) []string {
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = string(t)
	}
	return out
}

func (e *event) asset() (*hub.Asset, string) {
	a := &hub.Asset{
		Provider: strings.ToLower(string(e.Cloud.Provider)), Account: string(e.Cloud.Account.UID), Region: string(inbound.First(e.Cloud.Region, e.Device.Region)),
		Tags: map[string]string{},
	}
	if len(e.Resources) == 0 {
		d := e.Device
		a.Type, a.Name = string(d.Type), string(inbound.First(d.Hostname, d.Name))
		return a, string(inbound.First(d.UID, d.Hostname, d.Name, d.IP, e.Cloud.Account.UID, "unknown"))
	}
	r := e.Resources[0]
	a.Type, a.Name, a.Region = string(r.Type), string(inbound.First(r.Name, r.UID)), string(inbound.First(r.Region, text(a.Region)))
	for _, t := range r.Tags {
		a.Tags[string(t.Name)] = string(t.Value)
	}
	return a, string(inbound.First(r.UID, r.Name, e.Cloud.Account.UID, "unknown"))
}

func (e *event) compliance(class int) *hub.Compliance {
	c := &e.Compliance
	if class != classCompliance && c.Control == "" && len(c.Requirements) == 0 {
		return nil
	}
	out := &hub.Compliance{Control: string(c.Control), Result: strings.ToLower(string(c.Status))}
	if len(c.Standards) > 0 {
		out.Framework = string(c.Standards[0])
	}
	if out.Control == "" && len(c.Requirements) > 0 {
		out.Control = string(c.Requirements[0])
	}
	switch c.StatusID.Int() {
	case 1:
		out.Result = "passed"
	case 2:
		out.Result = "warning"
	case 3:
		out.Result = "failed"
	}
	return out
}

func (e *event) vulnerability() *hub.Vulnerability {
	if len(e.Vulnerabilities) == 0 {
		return nil
	}
	v := e.Vulnerabilities[0]
	out := &hub.Vulnerability{CVE: string(inbound.First(v.CVE.UID, v.Advisory.UID, v.CWE.UID))}
	for _, c := range v.CVE.CVSS {
		if score := c.Score.Bounded(0, 10); score != nil && (out.CVSS == nil || c.Version >= "3") {
			out.CVSS = score
		}
	}
	if packages := append(slices.Clone(v.Packages), v.Old...); len(packages) > 0 {
		out.Package, out.FixedVersion = string(packages[0].Name), string(packages[0].Fixed)
	}
	return out
}

func (e *event) payload(class int) jsontext.Value {
	var resources, techniques, findings []string
	for _, r := range e.Resources {
		resources = append(resources, string(inbound.First(r.UID, r.Name)))
	}
	for _, a := range e.Info.Attacks {
		if id := a.Technique.UID; id != "" {
			techniques = append(techniques, string(id))
		}
	}
	for _, i := range e.InfoList {
		findings = append(findings, string(i.UID))
	}
	p := e.Metadata.Product
	return inbound.Object(map[string]any{
		"class_uid": class, "finding_uid": e.Info.UID, "types": e.Info.Types, "product": p.Name, "vendor": p.Vendor, "feature": p.Feature.Name,
		"rule": inbound.First(e.Info.Analytic.UID, e.Metadata.EventCode, e.Info.Analytic.Name), "resources": resources, "techniques": techniques,
		"requirements": e.Compliance.Requirements, "remediation": e.Remediation.Desc, "references": e.Remediation.References,
		"findings": findings, "url": inbound.First(e.Info.SrcURL, e.SrcURL),
	})
}

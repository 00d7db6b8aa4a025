package echelongraph

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An entity is an alert, an incident or a vulnerability.
type entity struct {
	ID             inbound.Text   `json:"id"`
	Title          inbound.Text   `json:"title"`
	Description    inbound.Text   `json:"description"`
	Severity       inbound.Text   `json:"severity"`
	Status         inbound.Text   `json:"status"`
	Category       inbound.Text   `json:"category"`
	Type           inbound.Text   `json:"type"`
	AssetID        inbound.Text   `json:"asset_id"`
	AssetName      inbound.Text   `json:"asset_name"`
	Provider       inbound.Text   `json:"provider"`
	AccountID      inbound.Text   `json:"account_id"`
	Region         inbound.Text   `json:"region"`
	RiskScore      inbound.Number `json:"risk_score"`
	RuleID         inbound.Text   `json:"rule_id"`
	CVE            inbound.Text   `json:"cve_id"`
	CVSS           inbound.Number `json:"cvss_score"`
	Package        inbound.Text   `json:"package"`
	Fixed          inbound.Text   `json:"fixed_version"`
	CreatedAt      inbound.Time   `json:"created_at"`
	UpdatedAt      inbound.Time   `json:"updated_at"`
	AcknowledgedAt inbound.Time   `json:"acknowledged_at"`
	Others         jsontext.Value `json:",embed"`

	raw jsontext.Value
}

// readEntity decodes one; false if it is none or has no id.
func readEntity(raw jsontext.Value) (entity, bool) {
	x := entity{raw: raw}
	err := json.Unmarshal(raw, &x)
	return x, err == nil && x.ID != ""
}

// closedWords are the statuses with which EchelonGraph is done with an item, and
// what others call them.
var closedWords = []string{"resolved", "dismissed", "closed", "ignored", "fixed", "remediated", "false_positive", "accepted", "suppressed"}

func (x entity) closed() bool {
	return slices.Contains(closedWords, strings.ToLower(string(x.Status)))
}

// rank orders the stages of an item's life.
func (x entity) rank() int64 {
	switch {
	case x.closed():
		return 3
	case x.inHand():
		return 2
	}
	return 1
}

// inHand reports whether somebody there has taken it up.
func (x entity) inHand() bool {
	return slices.Contains([]string{"acknowledged", "investigating", "in_progress"}, strings.ToLower(string(x.Status)))
}

// sighting is the item as its memory sees it. updated_at is part of what it
// says, so that an item that was closed by an event and opened again is told.
func (x entity) sighting() connectors.Sighting {
	at := x.UpdatedAt.Time
	updated := ""
	if !at.IsZero() {
		updated = at.UTC().Format(time.RFC3339Nano)
	}
	return connectors.Sighting{
		ID: string(x.ID), Closed: x.closed(), Created: x.CreatedAt.Time, At: at, Rank: x.rank(),
		Digest: connectors.DigestOf(string(x.Status), string(x.Severity), string(x.AssetID), string(x.Title), string(x.Description), updated),
	}
}

// finding maps what all have.
func (x entity) finding(prefix, kind string) hub.Finding {
	f := hub.Finding{
		SourceID: inbound.Key(prefix, string(x.ID)), Type: kind, AssetID: string(x.AssetID), Status: hub.FindingOpen,
		Severity: inbound.SeverityOr(string(x.Severity), hub.High), Title: string(x.Title), Description: string(x.Description),
		ObservedAt: x.UpdatedAt.Time, SourceSequence: x.rank(), RiskScore: x.RiskScore.Bounded(0, 100), Raw: x.raw,
		Labels:  map[string]string{"echelongraph_id": string(x.ID), "echelongraph_status": string(x.Status), "echelongraph_category": string(x.Category)},
		Payload: x.payload(),
	}
	if x.closed() {
		f.Status = hub.FindingResolved
	}
	if _, known := inbound.Severity(string(x.Severity)); !known {
		f.Labels["echelongraph_severity"] = string(x.Severity)
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = x.CreatedAt.Time
	}
	if f.AssetID == "" {
		f.AssetID = "unknown"
	}
	if x.AssetName != "" || x.Provider != "" || x.AccountID != "" || x.Region != "" {
		f.Asset = &hub.Asset{Provider: string(x.Provider), Account: string(x.AccountID), Region: string(x.Region), Name: string(x.AssetName)}
	}
	return f
}

// payload is what does not change while the item stays the same.
func (x entity) payload() jsontext.Value {
	members := map[string]any{"rule_id": x.RuleID, "category": x.Category, "kind": x.Type}
	others := map[string]jsontext.Value{}
	if len(x.Others) > 0 && json.Unmarshal(x.Others, &others) == nil {
		for name, v := range others {
			members[name] = v
		}
	}
	return inbound.Object(members)
}

// done completes a finding.
func (x entity) done(f hub.Finding, what string) hub.Finding {
	if f.Title == "" {
		f.Title = what + " on " + f.AssetID
	}
	inbound.Tidy(&f)
	return f
}

// alert maps an alert, of a detection rule or not.
func (x entity) alert() hub.Finding {
	f := x.finding("alert", kindOf(string(x.Type), string(x.Category)))
	f.Labels["echelongraph_rule_id"] = string(x.RuleID)
	f.AcknowledgedAt = x.acknowledged()
	return x.done(f, "Alert")
}

// incident maps an incident. Its alerts are in the payload.
func (x entity) incident() hub.Finding {
	f := x.finding("incident", kindOf(string(x.Type), string(x.Category)))
	f.AcknowledgedAt = x.acknowledged()
	return x.done(f, "Incident")
}

// acknowledged is when somebody there took it up, as well as is told.
func (x entity) acknowledged() time.Time {
	switch {
	case !x.AcknowledgedAt.IsZero():
		return x.AcknowledgedAt.Time
	case x.inHand():
		return x.UpdatedAt.Time
	}
	return time.Time{}
}

// vulnerability maps one of the CVE feed.
func (x entity) vulnerability() hub.Finding {
	f := x.finding("vulnerability", "vulnerability")
	f.Vulnerability = &hub.Vulnerability{
		CVE: string(x.CVE), CVSS: x.CVSS.Bounded(0, 10), Package: string(x.Package), FixedVersion: string(x.Fixed),
	}
	what := "Vulnerability"
	if x.CVE != "" {
		what = string(x.CVE)
	}
	return x.done(f, what)
}

// kindOf maps their words: a type of ours, or a category of risk.
func kindOf(words ...string) string {
	for _, w := range words {
		w = strings.ToLower(w)
		if slices.Contains(hub.FindingTypes[:], w) {
			return w
		}
		switch w {
		case "identity":
			return "iam"
		case "data", "exposure":
			return "misconfiguration"
		case "compute", "behavior", "threat":
			return "anomaly"
		}
	}
	return "custom"
}

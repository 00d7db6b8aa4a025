package cloudoptix

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An alert is one of Cloud Optix.
type alert struct {
	ID             inbound.Text `json:"id"`
	AccountID      inbound.Text `json:"accountId"`
	AccountName    inbound.Text `json:"accountName"`
	Type           inbound.Text `json:"alertType"`
	Summary        inbound.Text `json:"alertSummary"`
	Level          inbound.Text `json:"criticalLevel"`
	URL            inbound.Text `json:"url"`
	AlertID        inbound.Text `json:"alertId"`
	Policy         inbound.Text `json:"policyLabel"`
	Details        inbound.Text `json:"alertDetails"`
	FirstSeen      inbound.Time `json:"firstSeen"`
	LastSeen       inbound.Time `json:"lastSeen"`
	State          inbound.Text `json:"state"`
	LastAction     inbound.Text `json:"lastAction"`
	LastActionTime inbound.Time `json:"lastActionTime"`
	JiraID         inbound.Text `json:"jiraId"`
	Provider       inbound.Text `json:"provider"`
	Result         ruleResult   `json:"ruleResult"`

	raw jsontext.Value
}

// A ruleResult is what a policy's rule found.
type ruleResult struct {
	Resources []resource   `json:"affectedResources"`
	Control   inbound.Text `json:"controlId"`
	Words     inbound.Text `json:"controlIdDesc"`
}

// A resource is one that an alert is about.
type resource struct {
	Name        inbound.Text `json:"affectedResource"`
	State       inbound.Text `json:"state"`
	Suppression inbound.Text `json:"suppressionType"`
}

// UnmarshalJSON leaves a result empty that is none: the alert counts without.
func (r *ruleResult) UnmarshalJSON(b []byte) error {
	type plain ruleResult
	var p plain
	if json.Unmarshal(b, &p) == nil {
		*r = ruleResult(p)
	}
	return nil
}

// readAlert decodes one alert; false if it is none or has no id.
func readAlert(raw jsontext.Value) (alert, bool) {
	a := alert{raw: raw}
	err := json.Unmarshal(raw, &a)
	if a.ID == "" {
		a.ID = a.AlertID
	}
	return a, err == nil && a.ID != ""
}

// key is the identity of the alert.
func (a alert) key() string { return inbound.Key(string(a.AccountID), string(a.ID)) }

// closed reports whether Cloud Optix asks nobody to do anything about it any
// more. Beside the document's OPEN and SUPPRESS it knows close words.
func (a alert) closed() bool {
	state := strings.ToUpper(string(a.State))
	for _, word := range []string{"SUPPRESS", "RESOLVE", "CLOSE", "REMEDIATE", "FIXED", "DISMISS"} {
		if strings.HasPrefix(state, word) {
			return true
		}
	}
	return false
}

// sighting is the alert as its memory sees it. When it was last seen is no part
// of it: that changes with every look of theirs.
func (a alert) sighting() connectors.Sighting {
	parts := []string{string(a.State), string(a.Level), string(a.Summary), string(a.Details), string(a.Policy), string(a.JiraID)}
	for _, r := range a.resources() {
		parts = append(parts, string(r.Name), string(r.State), string(r.Suppression))
	}
	s := connectors.Sighting{ID: a.key(), Digest: connectors.DigestOf(parts...), Created: a.FirstSeen.Time, Rank: 1, Closed: a.closed()}
	if s.Closed {
		s.At, s.Rank = inbound.Latest(a.LastActionTime, a.FirstSeen), 2
	}
	return s
}

// resources are those that have a name, in an order that stays.
func (a alert) resources() []resource {
	var named []resource
	for _, r := range a.Result.Resources {
		if r.Name != "" {
			named = append(named, r)
		}
	}
	slices.SortStableFunc(named, func(a, b resource) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return named
}

// finding maps an alert.
func (a alert) finding() hub.Finding {
	account := inbound.First(a.AccountID, inbound.Text("unknown"))
	f := hub.Finding{
		SourceID: a.key(), Type: a.kind(), AssetID: string(account), Asset: a.asset(),
		Severity: inbound.SeverityOr(string(a.Level), hub.High), Status: hub.FindingOpen,
		Title: inbound.Said(string(a.Summary), string(a.Policy), "Cloud Optix alert "+string(a.ID)), Description: string(a.Details),
		Labels: map[string]string{
			"cloudoptix_id": string(a.ID), "cloudoptix_alert_id": string(a.AlertID), "cloudoptix_type": string(a.Type),
			"cloudoptix_policy": string(a.Policy), "cloudoptix_url": string(a.URL), "cloudoptix_state": string(a.State),
			"jira": string(a.JiraID), "cloud_account": string(a.AccountID),
		},
		Raw: a.raw, Payload: a.payload(),
	}
	if _, known := inbound.Severity(string(a.Level)); !known {
		f.Labels["cloudoptix_severity"] = string(a.Level)
	}
	if a.Policy != "" || a.Result.Words != "" {
		f.Compliance = &hub.Compliance{Framework: string(a.Policy), Control: string(inbound.First(a.Result.Words, a.Result.Control)), Result: "fail"}
	}
	f.ObservedAt = a.FirstSeen.Time
	if a.closed() {
		f.Status, f.ObservedAt = hub.FindingResolved, inbound.Latest(a.LastActionTime, a.FirstSeen)
	}
	inbound.Tidy(&f)
	return f
}

// asset describes the account as a finding's asset.
func (a alert) asset() *hub.Asset {
	return &hub.Asset{Type: "cloud_account", Provider: strings.ToLower(string(a.Provider)), Account: string(a.AccountID), Name: string(a.AccountName)}
}

// kind maps alertType, of which the document names three.
func (a alert) kind() string {
	guess := inbound.TypeOf(string(a.Summary), string(a.Policy))
	switch strings.ToLower(string(a.Type)) {
	case "anomaly":
		return inbound.First(guess, "anomaly")
	case "guardduty":
		return inbound.First(guess, "network")
	case "policy":
		return inbound.First(guess, "misconfiguration")
	}
	return inbound.First(guess, "custom")
}

// payload is what stays the same while the alert does.
func (a alert) payload() jsontext.Value {
	names := []string{}
	for _, r := range a.resources() {
		names = append(names, string(r.Name))
	}
	return inbound.Object(map[string]any{
		"alertType": string(a.Type), "policyLabel": string(a.Policy), "provider": string(a.Provider), "affectedResources": names,
	})
}

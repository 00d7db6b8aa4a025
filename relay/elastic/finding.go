package elastic

import (
	"github.com/tocsin/tocsin/hub"
)

// Finding gives the document of a finding as it was normalised, with what became
// of it. Its kind is event: only alerts may raise alerts in a SIEM.
func (m Mapping) Finding(f *hub.Finding, tr hub.Triage) Doc {
	w := builder{b: append(make([]byte, 0, 1024+len(f.Payload)), '{')}
	at := f.ObservedAt
	if at.IsZero() {
		at = f.ReceivedAt
	}
	w.time("@timestamp", at)
	w.stream("tocsin.finding", m.Namespace)
	w.findingEvent(f)
	w.common(f.Tenant, message(f.Title, f.Type, f.AssetID))
	w.rule(f.Labels, f.Title, f.Type, f.Source, f.Compliance)
	w.observer(f.Labels, f.Source)
	w.asset(f.AssetID, f.Asset)
	var seen observables
	seen.observe(f.Payload)
	seen.ofAsset(f.AssetID, f.Asset)
	w.observed(&seen)
	w.vulnerability(f.Vulnerability, f.Severity, f.Source)
	w.threat(f.Labels)
	w.labels("labels", f.Labels)
	w.strs("tags", "tocsin", f.Type)
	w.ownFinding(f, tr)
	w.b = append(w.b, '}')
	return Doc{Index: findingStream + m.Namespace, ID: string(f.ID), Body: w.b}
}

func (w *builder) findingEvent(f *hub.Finding) {
	o := w.open("event")
	w.str("kind", kindEvent)
	w.strs("category", categoryOf(f.Type)...)
	w.strs("type", "info")
	w.str("module", "tocsin")
	w.str("dataset", "tocsin.finding")
	w.str("provider", f.Source)
	w.str("id", string(f.ID))
	w.str("action", "finding.received")
	w.time("created", f.ReceivedAt)
	w.num("severity", severityNumber(f.Severity))
	w.float("risk_score", f.RiskScore)
	w.float("risk_score_norm", f.RiskScore)
	w.close(o)
}

func (w *builder) ownFinding(f *hub.Finding, tr hub.Triage) {
	t := w.open("tocsin")
	w.str("tenant", string(f.Tenant))
	o := w.open("finding")
	w.str("id", string(f.ID))
	w.str("status", string(f.Status))
	w.str("type", f.Type)
	w.str("severity", string(f.Severity))
	w.str("source", f.Source)
	w.str("source_id", f.SourceID)
	w.str("description", f.Description)
	w.str("dedup_key", f.DedupKey)
	w.str("alert_id", string(tr.Alert))
	w.str("outcome", string(tr.Outcome))
	w.close(o)
	w.ownAsset(f.AssetID, f.Asset)
	w.ownCompliance(f.Compliance)
	w.ownFix(f.Vulnerability)
	w.raw("raw", f.Payload)
	w.close(t)
}

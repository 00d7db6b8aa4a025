package edgetelemetry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An agent is what is remembered of one: whether its newest summary is an open
// finding.
type agent struct {
	Open bool      `json:"open,omitempty"`
	At   time.Time `json:"at"` // of its newest summary
}

// A summary is what an agent sent of a stretch of time.
type summary struct {
	id, agent, text string
	at              time.Time
	anomalies       float64
	risk            *float64
	bad             bool
	members         fields
	raw             jsontext.Value
}

// readSummary decodes one; false if it is none. One without an id is known by its
// agent and time. minRisk is the score from which on it is a finding, 0 for none.
func readSummary(raw jsontext.Value, minRisk float64) (summary, bool) {
	m := readFields(raw)
	x := summary{
		id: m.text("id", "summary_id"), agent: m.text("agent_id", "agent", "source_id", "source", "device_id", "node_id"),
		at: m.time("created_at", "timestamp", "received_at", "window_end", "period_end", "end_time"), text: m.text("summary", "description", "message"),
		risk: m.number("risk_score", "max_risk_score", "score").Bounded(0, 100), members: m, raw: raw,
	}
	x.anomalies = m.number("anomaly_count", "anomalies_count", "anomalies").Value
	if list := m.list("anomalies"); x.anomalies == 0 {
		x.anomalies = float64(len(list))
	}
	x.bad = x.anomalies > 0 || m.flag("is_anomaly", "anomalous", "has_anomalies") || minRisk > 0 && x.risk != nil && *x.risk >= minRisk
	if x.id == "" && x.agent != "" && !x.at.IsZero() {
		x.id = x.agent + "@" + x.at.UTC().Format(time.RFC3339Nano)
	}
	return x, x.id != ""
}

// severity is their word, else what the risk score says, else medium.
func (x summary) severity() hub.Severity {
	if word := x.members.text("severity", "risk_level"); word != "" {
		return inbound.SeverityOr(word, hub.High)
	}
	if x.risk != nil && *x.risk >= 40 {
		return inbound.Score(*x.risk / 10)
	}
	return hub.Medium
}

// finding maps a summary. All of one agent are one alert: open from the first that
// tells of something, until one does not.
func (x summary) finding(organization string) hub.Finding {
	who := inbound.First(x.agent, organization)
	f := hub.Finding{
		SourceID: inbound.Key("summary", x.id), DedupKey: inbound.Key("summary", organization, x.agent), Type: "anomaly", AssetID: lower(who),
		Asset:    &hub.Asset{Type: "edge_agent", Provider: "edgetelemetry", Name: x.agent},
		Severity: x.severity(), Status: hub.FindingOpen, Title: "Anomalies at " + who, Description: x.text, ObservedAt: x.at, SourceSequence: 1,
		RiskScore: x.risk, Raw: x.raw,
		Labels:  map[string]string{"edgetelemetry_id": x.id, "edgetelemetry_agent": x.agent, "edgetelemetry_anomalies": fmt.Sprint(x.anomalies)},
		Payload: inbound.Object(map[string]any{"agent_id": x.agent}),
	}
	if !x.bad {
		f.Status, f.Title = hub.FindingResolved, "No more anomalies at "+who
	}
	inbound.Tidy(&f)
	return f
}

// summaries reads what agents have sent. The path knows no parameters: it gives
// as many of the newest as it likes.
func (w *pull) summaries(ctx context.Context) (done bool, err error) {
	items, at, err := w.source.list(ctx, "/dashboard/summaries", nil)
	if err != nil {
		return false, err
	}
	w.begin(at)
	m := w.memory("summaries")
	m.Begin(w.Begun.Add(-time.Duration(w.source.cfg.History)))
	all := make([]summary, 0, len(items))
	for i, raw := range items {
		x, ok := readSummary(raw, w.source.cfg.MinRiskScore)
		if !ok {
			w.page.Refuse(i, raw, "a summary without an id, or agent and time")
			continue
		}
		all = append(all, x)
	}
	slices.SortStableFunc(all, func(a, b summary) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id)) })
	known := w.Seen == 0 || len(all) == 0 || m.Sweeps() == 1
	for _, x := range all {
		s := connectors.Sighting{ID: x.id, Closed: true, Created: x.at, At: cmp.Or(x.at, w.now), Rank: 1}
		place, news := m.Observe(s, w.now, w.source.cfg.MaxTracked)
		if !news {
			known = true
			continue
		}
		if w.news(x, place.At) {
			w.tell(x.finding(w.source.asset), place)
		}
	}
	w.Seen = len(all)
	w.gap(known)
	m.End(w.Begun.Add(-margin))
	return true, nil
}

// gap tells people when an answer begins behind what was seen before.
func (w *pull) gap(known bool) {
	const name = "summaries between two pulls"
	if known {
		w.source.found(name)
		return
	}
	w.source.miss(name, "every summary in the answer is new, so that others may have come and gone since the last pull; shorten interval")
}

// news takes in that an agent has sent a summary, and says whether it is told.
func (w *pull) news(x summary, at time.Time) bool {
	a := w.Agents[x.agent]
	if a == nil {
		if len(w.Agents) >= w.source.cfg.MaxTracked {
			return x.bad
		}
		a = &agent{}
		w.Agents[x.agent] = a
		w.newAgent(x.agent)
	}
	tell := x.bad || a.Open && at.After(a.At)
	if tell {
		a.Open = x.bad
	}
	if at.After(a.At) {
		a.At = at
	}
	return tell
}

// newAgent reports an agent that has not sent anything before.
func (w *pull) newAgent(id string) {
	if id == "" {
		return
	}
	w.node(hub.NodeReport{
		Kind: hub.NodeAsset, Keys: []string{lower(id)}, SourceID: id, Asset: hub.Asset{Type: "edge_agent", Provider: "edgetelemetry", Name: id},
	})
	w.edge(w.source.asset, "monitors", lower(id), false)
}

// metrics keeps the dashboard's numbers for Report.
func (w *pull) metrics(ctx context.Context) (done bool, err error) {
	data, _, err := w.source.get(ctx, "/dashboard/metrics", nil)
	if err == nil {
		w.source.keep("metrics", data)
	}
	return err == nil, err
}

package echelongraph

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A gauge is what is remembered of a score.
type gauge struct {
	Bad   bool      `json:"bad,omitempty"` // it is an open finding
	Score float64   `json:"score"`
	Best  float64   `json:"best"` // since it is known
	At    time.Time `json:"at,omitzero"`
	Seq   int64     `json:"seq,omitempty"`
}

// observe takes a score in. tell is false if it is no news: the same again, or
// good and no finding. contradicts says that an event opened a finding of it.
func (g *gauge) observe(score float64, bad, contradicts bool, at, now time.Time) (p connectors.Place, tell bool) {
	tell = (bad || g.Bad) && (bad != g.Bad || score != g.Score) || contradicts && !bad
	if contradicts && !bad || at.IsZero() {
		at = now
	}
	if at.After(g.At) {
		g.At, g.Seq = at, 1
	} else if tell {
		g.Seq++
	}
	g.Bad, g.Score, g.Best = bad, score, max(g.Best, score)
	return connectors.Place{At: g.At, Sequence: g.Seq}, tell
}

// A score is that of a framework or of a category.
type score struct {
	Framework inbound.Text   `json:"framework"`
	Category  inbound.Text   `json:"category"`
	Score     inbound.Number `json:"score"`
	UpdatedAt inbound.Time   `json:"updated_at"`

	raw jsontext.Value
}

func readScore(raw jsontext.Value) (score, bool) {
	x := score{raw: raw}
	err := json.Unmarshal(raw, &x)
	return x, err == nil && x.Score.Given
}

// gauge gives what is remembered of a score.
func (w *pull) gauge(id string, best float64) *gauge {
	if w.Gauges[id] == nil {
		w.Gauges[id] = &gauge{Best: best, Score: best}
	}
	return w.Gauges[id]
}

// compliance reads the next page of frameworks.
func (w *pull) compliance(ctx context.Context) (done bool, err error) {
	p, err := w.source.list(ctx, w.source.path("compliance"), w.Page+1, nil)
	if err != nil {
		return false, err
	}
	w.clock(p.at)
	if said, err := json.Marshal(p.Data); err == nil && w.Page == 0 {
		w.source.keep("compliance", said)
	}
	for i, raw := range p.Data {
		x, ok := readScore(raw)
		if !ok || x.Framework == "" {
			w.page.Refuse(i, raw, "a score without a framework")
			continue
		}
		id := inbound.Key("compliance", string(x.Framework))
		g := w.gauge(id, x.Score.Value)
		place, tell := g.observe(x.Score.Value, w.source.cfg.drifted(x.Score.Value, g.Best), w.source.touched.take(id), x.UpdatedAt.Time, w.now)
		if tell {
			w.tell(w.source.complianceFinding(string(x.Framework), x.Score.Value, g.Bad, raw), place)
		}
	}
	w.Page++
	w.Seen += len(p.Data)
	return !p.more(w.Seen), nil
}

func (w *pull) tell(f hub.Finding, p connectors.Place) {
	f.ObservedAt, f.SourceSequence, f.ObservedGiven = p.At, p.Sequence, true
	w.page.Findings = append(w.page.Findings, f)
}

// drifted says whether a framework's score is a finding.
func (c *config) drifted(score, best float64) bool {
	return score < c.MinComplianceScore || c.DriftPoints > 0 && score <= best-c.DriftPoints
}

// complianceFinding maps a framework's score.
func (s *Source) complianceFinding(framework string, score float64, bad bool, raw jsontext.Value) hub.Finding {
	text := strconv.FormatFloat(score, 'f', -1, 64)
	f := hub.Finding{
		SourceID: inbound.Key("compliance", framework), Type: "compliance", AssetID: s.asset, Severity: hub.Medium, Status: hub.FindingOpen,
		Title: "Compliance score of " + framework + " has fallen", Description: "The score of " + framework + " is " + text + " of 100.",
		Labels:     map[string]string{"echelongraph_score": text, "echelongraph_framework": framework},
		Compliance: &hub.Compliance{Framework: framework, Result: "failed"}, Raw: raw,
	}
	if score < s.cfg.MinComplianceScore {
		f.Severity = hub.High
		f.Title = fmt.Sprintf("Compliance score of %s is below %v", framework, s.cfg.MinComplianceScore)
	}
	if !bad {
		f.Status, f.Compliance.Result = hub.FindingResolved, "passed"
	}
	inbound.Tidy(&f)
	return f
}

// risk reads the scores by category.
func (w *pull) risk(ctx context.Context) (done bool, err error) {
	var out struct {
		Score      inbound.Number   `json:"score"`
		Categories []jsontext.Value `json:"categories"`
	}
	answer, err := w.source.get(ctx, w.source.path("risk"), nil, &out)
	if err != nil {
		return false, err
	}
	w.clock(answer.At)
	w.source.keep("risk", answer.Result())
	limit := w.source.cfg.MaxRiskScore
	for i, raw := range out.Categories {
		x, ok := readScore(raw)
		if !ok || x.Category == "" {
			w.page.Refuse(i, raw, "a risk without a category")
			continue
		}
		g := w.gauge(inbound.Key("risk", string(x.Category)), x.Score.Value)
		place, tell := g.observe(x.Score.Value, limit > 0 && x.Score.Value >= limit, false, x.UpdatedAt.Time, w.now)
		if tell {
			w.tell(w.source.riskFinding(string(x.Category), x.Score.Value, g.Bad, raw), place)
		}
	}
	if w.Full {
		w.node(hub.NodeReport{
			Kind: hub.NodeAccount, Keys: []string{w.source.asset}, RiskScore: out.Score.Bounded(0, 100), Attributes: answer.Result(),
			Asset: hub.Asset{Type: "organization", Provider: "echelongraph", Name: w.source.asset},
		})
	}
	return true, nil
}

// riskFinding maps a category's score.
func (s *Source) riskFinding(category string, score float64, bad bool, raw jsontext.Value) hub.Finding {
	text := strconv.FormatFloat(score, 'f', -1, 64)
	f := hub.Finding{
		SourceID: inbound.Key("risk", category), Type: kindOf(category), AssetID: s.asset, Severity: hub.High, Status: hub.FindingOpen,
		Title:       fmt.Sprintf("Risk of category %s is at or above %v", category, s.cfg.MaxRiskScore),
		Description: "The risk score of category " + category + " is " + text + " of 100.",
		Labels:      map[string]string{"echelongraph_score": text, "echelongraph_category": category},
		RiskScore:   inbound.Number{Value: score, Given: true}.Bounded(0, 100), Raw: raw,
	}
	if !bad {
		f.Status = hub.FindingResolved
	}
	inbound.Tidy(&f)
	return f
}

// touched holds the scores of which an event has opened a finding since the
// last pull. Should the pull find them good, it says so.
type touched struct {
	mu  sync.Mutex // guards ids
	ids map[string]bool
}

const maxTouched = 10_000

func (t *touched) add(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = map[string]bool{}
	}
	if len(t.ids) < maxTouched {
		t.ids[id] = true
	}
}

func (t *touched) take(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.ids[id]
	delete(t.ids, id)
	return was
}

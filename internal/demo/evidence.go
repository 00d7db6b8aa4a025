package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tocsin/tocsin/audit"
)

// evidence is what the hub's API tells after the run.
type evidence struct {
	dashboard  dashboard
	findings   map[string]finding // triaged, by id
	alerts     map[string]alert   // with their timelines, by id
	deliveries []delivery         // newest first
	events     int                // events made, as the hub's metrics count them

	entries  []entry
	verified bool     // the log is intact, in the hub's words and in those of its export
	reports  []string // what was found wrong with it
}

// An entry is one entry of the audit log, as far as it is looked at.
type entry struct {
	Action     string         `json:"action"`
	ResourceID string         `json:"resource_id"`
	Details    jsontext.Value `json:"details"`
}

// ids are those of a batch's entry.
func (e *entry) ids() []string {
	var d struct {
		IDs []string `json:"ids"`
	}
	_ = json.Unmarshal(e.Details, &d) // none is a finding that is missed
	return append(d.IDs, e.ResourceID)
}

// version is the version of an alert after a change of it.
func (e *entry) version() int64 {
	var d struct {
		Version int64 `json:"version"`
	}
	_ = json.Unmarshal(e.Details, &d) // none is a change that is missed
	return d.Version
}

func collect(ctx context.Context, c *client) (e evidence, err error) {
	steps := []func(context.Context, *client) error{
		e.readFindings, e.readAlerts, e.readDeliveries, e.readEvents, e.readAudit,
		func(ctx context.Context, c *client) (err error) { e.dashboard, err = c.dashboard(ctx); return err },
	}
	for _, step := range steps {
		if err := step(ctx, c); err != nil {
			return e, fmt.Errorf("collect evidence: %w", err)
		}
	}
	return e, nil
}

func (e *evidence) readFindings(ctx context.Context, c *client) error {
	list, err := all[finding](ctx, c, "/findings", nil)
	e.findings = make(map[string]finding, len(list))
	for _, f := range list {
		e.findings[f.ID] = f
	}
	return err
}

func (e *evidence) readAlerts(ctx context.Context, c *client) error {
	list, err := all[alert](ctx, c, "/alerts", nil)
	if err != nil {
		return err
	}
	e.alerts = make(map[string]alert, len(list))
	for _, a := range list {
		var full alert
		if err := c.get(ctx, "/alerts/"+a.ID, &full); err != nil {
			return err
		}
		e.alerts[a.ID] = full
	}
	return nil
}

func (e *evidence) readDeliveries(ctx context.Context, c *client) (err error) {
	e.deliveries, err = all[delivery](ctx, c, "/deliveries", nil)
	for i := range e.deliveries {
		if d := &e.deliveries[i]; err == nil && d.Kind == "webhook" && d.RunID != "" {
			err = c.get(ctx, "/deliveries/"+d.ID, d)
		}
	}
	return err
}

func (e *evidence) readEvents(ctx context.Context, c *client) (err error) {
	e.events, err = c.events(ctx)
	return err
}

// events counts the events made, by the hub's own metrics.
func (c *client) events(ctx context.Context) (int, error) {
	text, err := c.raw(ctx, request{method: http.MethodGet, path: "/metrics"}, http.StatusOK)
	total := 0.0
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "tocsin_events_total{") {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("GET /metrics: %w", err)
		}
		total += n
	}
	return int(total), err
}

// readAudit has the hub verify its log, and verifies the export as somebody
// would who has nothing but the file.
func (e *evidence) readAudit(ctx context.Context, c *client) error {
	var own audit.Report
	if err := c.get(ctx, "/audit/verify", &own); err != nil {
		return err
	}
	export, err := c.raw(ctx, request{method: http.MethodGet, path: "/audit/export?format=ndjson"}, http.StatusOK)
	if err != nil {
		return err
	}
	outside := audit.VerifyFile(ctx, bytes.NewReader(export), audit.Options{})
	e.verified = own.Verdict == audit.Intact && outside.Verdict == audit.Intact
	if own.Verdict != audit.Intact {
		e.reports = append(e.reports, "GET /audit/verify: "+own.String())
	}
	if outside.Verdict != audit.Intact {
		e.reports = append(e.reports, "the exported log: "+outside.String())
	}
	for line := range bytes.Lines(export) {
		if bytes.HasPrefix(line, []byte(`{"checkpoint"`)) {
			continue
		}
		var x entry
		if err := json.Unmarshal(line, &x); err != nil {
			return fmt.Errorf("read the exported log: %w", err)
		}
		e.entries = append(e.entries, x)
	}
	return nil
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A result is what --json prints (contract §1).
type result struct {
	Findings     int       `json:"findings"`
	Alerts       int       `json:"alerts"`
	Incidents    int       `json:"incidents"` // opened at PagerDuty
	Deliveries   delivered `json:"deliveries"`
	AuditEntries int       `json:"audit_entries"`
	// Lost counts what was accepted or due and did not arrive, or is not in the
	// audit log.
	Lost          int     `json:"lost"`
	Unsigned      int     `json:"unsigned"`
	ChainVerified bool    `json:"chain_verified"`
	Seconds       float64 `json:"seconds"`
}

// delivered is what the far sides took.
type delivered struct {
	Webhook   int `json:"webhook"`
	Slack     int `json:"slack"`
	PagerDuty int `json:"pagerduty"`
	Elastic   int `json:"elasticsearch"`
}

// A judge compares what was fed with what the hub tells and the far sides have.
type judge struct {
	far  *farSides
	feed *feed
	evidence
	result
	faults []string
	notes  []string // worth knowing, but no fault
}

// judge collects the evidence, prints the result and returns an error if
// anything is wrong.
func (d *demo) judge(ctx context.Context) error {
	e, err := collect(ctx, d.hub.client)
	if err != nil {
		return err
	}
	j := &judge{far: d.far, feed: d.feed, evidence: e, faults: append(slices.Clone(d.feed.faults), e.reports...)}
	j.result.Findings, j.result.Alerts, j.AuditEntries, j.ChainVerified = len(e.findings), len(e.alerts), len(e.entries), e.verified
	for _, check := range []func(){
		j.triaged, j.endings, j.vault, j.clouds, j.ended, j.webhooks, j.pages, j.posts, j.documents, j.audited, j.rules,
	} {
		check()
	}
	j.Seconds = float64(time.Since(d.start).Round(10*time.Millisecond)) / float64(time.Second)
	d.show.result(d.feed, j)
	if len(j.faults) == 0 {
		return nil
	}
	return errors.New("the demo found faults; the first: " + j.faults[0])
}

func (j *judge) fault(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

func (j *judge) note(format string, args ...any) {
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

func (j *judge) lose(format string, args ...any) {
	j.Lost++
	j.fault(format, args...)
}

// triaged: each finding that the hub answered for, or that its audit log says it
// accepted, has been triaged.
func (j *judge) triaged() {
	accepted := maps.Clone(j.feed.accepted)
	for _, x := range j.entries {
		if x.Action != "finding.accept" {
			continue
		}
		for _, id := range x.ids() {
			if id != "" {
				accepted[id] = true
			}
		}
	}
	for id := range accepted {
		if _, there := j.findings[id]; !there {
			j.lose("finding %s was accepted but not triaged", id)
		}
	}
	for id := range j.findings {
		if !accepted[id] {
			j.fault("finding %s was triaged, but nobody had it accepted", id)
		}
	}
}

// endings: each problem has become one alert, in the state that follows from
// what its sources said, whatever the order in which it came.
func (j *judge) endings() {
	for l := range j.feed.lives {
		ids := map[string]bool{}
		for _, id := range l.findings {
			ids[j.findings[id].AlertID] = true
		}
		if len(ids) != 1 {
			j.fault("the findings of one problem went to %d alerts: %v", len(ids), slices.Collect(maps.Keys(ids)))
			continue
		}
		id := j.findings[l.findings[0]].AlertID
		a, there := j.alerts[id]
		if !there {
			j.lose("alert %q of finding %s does not exist", id, l.findings[0])
			continue
		}
		got := ending{a.Severity, a.Status, len(a.Sources), a.Count, a.Duplicates, a.Generation}
		if got != l.want {
			j.fault("alert %s: got %+v, want %+v", id, got, l.want)
		}
	}
}

// vault: each alert of CyberVault is an alert here, in the state it has there.
func (j *judge) vault() {
	alerts := map[string]string{}
	for _, f := range j.findings {
		if f.Source == "cybervault" {
			alerts[f.SourceID] = f.AlertID
		}
	}
	for id, want := range j.feed.vault.states() {
		switch a, there := j.alerts[alerts[id]]; {
		case !there:
			j.lose("CyberVault's alert %s has not become an alert", id)
		case shut(a.Status) != shut(want):
			j.fault("alert %s is %s, but CyberVault's %s is %s", a.ID, a.Status, id, want)
		}
	}
	if n := j.far.vault.GivenUp(); n > 0 {
		j.lose("CyberVault gave %d webhooks up", n)
	}
}

func shut(status string) bool { return status == "resolved" || status == "dismissed" }

// ended: each delivery has succeeded.
func (j *judge) ended() {
	for _, d := range j.deliveries {
		if d.State != "succeeded" {
			j.lose("delivery %s by %s is %s after %d attempts: %s", d.ID, d.Kind, d.State, d.Attempts, d.Error)
		}
	}
}

// audited: the log has an entry for each finding accepted, each change of an
// alert and each delivery.
func (j *judge) audited() {
	changes, objects := map[string]bool{}, map[string]bool{}
	accepted := map[string]bool{}
	for _, x := range j.entries {
		objects[x.ResourceID] = true
		switch {
		case x.Action == "finding.accept":
			for _, id := range x.ids() {
				accepted[id] = true
			}
		case strings.HasPrefix(x.Action, "alert."):
			changes[changeKey(x.ResourceID, x.Action, x.version())] = true
		}
	}
	for id := range j.findings {
		if !accepted[id] {
			j.lose("the audit log does not tell that finding %s was accepted", id)
		}
	}
	for _, a := range j.alerts {
		for _, c := range a.Timeline {
			if !changes[changeKey(a.ID, "alert."+c.Action, c.Version)] {
				j.lose("the audit log does not tell of change %d of alert %s (%s)", c.Version, a.ID, c.Action)
			}
		}
	}
	for _, d := range j.deliveries {
		if !objects[d.ID] {
			j.lose("the audit log does not tell of delivery %s", d.ID)
		}
	}
}

func changeKey(alert, action string, version int64) string {
	return alert + " " + action + " " + strconv.FormatInt(version, 10)
}

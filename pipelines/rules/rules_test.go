package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

func ptr[T any](v T) *T { return &v }

func rule(change func(*hub.AlertRule)) *hub.AlertRule {
	r := &hub.AlertRule{ID: "rul_1", Tenant: "default", Name: "a", Enabled: true, ConditionType: hub.ConditionSeverity, SeverityThreshold: hub.High, MinSRS: 40}
	if change != nil {
		change(r)
	}
	return r
}

func table(t *testing.T, all ...*hub.AlertRule) *Table {
	t.Helper()
	tab, err := New(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func alert(change func(*hub.Alert)) *hub.Event {
	a := &hub.Alert{ID: "alt_1", Tenant: "default", Type: "iam", Severity: hub.High, Status: hub.AlertOpen, Labels: map[string]string{"vigilare_scenario": "billing"}}
	if change != nil {
		change(a)
	}
	return &hub.Event{Type: hub.AlertCreated, Tenant: "default", Data: hub.EventData{Alert: a}}
}

func TestConditions(t *testing.T) {
	srs := func(name, value string) func(*hub.Alert) {
		return func(a *hub.Alert) { a.Labels = map[string]string{name: value} }
	}
	for _, c := range []struct {
		name  string
		rule  func(*hub.AlertRule)
		alert func(*hub.Alert)
		want  bool
	}{
		{"as severe", nil, nil, true},
		{"more severe", nil, func(a *hub.Alert) { a.Severity = hub.Critical }, true},
		{"less severe", nil, func(a *hub.Alert) { a.Severity = hub.Medium }, false},
		{"acknowledged", nil, func(a *hub.Alert) { a.Status = hub.AlertInvestigating }, false},
		{"resolved", nil, func(a *hub.Alert) { a.Status = hub.AlertResolved }, false},
		{"risk reached", func(r *hub.AlertRule) { r.ConditionType, r.RiskScoreMin = hub.ConditionRisk, ptr(70.0) }, func(a *hub.Alert) { a.RiskScore = ptr(70.0) }, true},
		{"risk not reached", func(r *hub.AlertRule) { r.ConditionType, r.RiskScoreMin = hub.ConditionRisk, ptr(70.0) }, func(a *hub.Alert) { a.RiskScore = ptr(69.9) }, false},
		{"no risk", func(r *hub.AlertRule) { r.ConditionType, r.RiskScoreMin = hub.ConditionRisk, ptr(0.0) }, nil, false},
		{"score below", func(r *hub.AlertRule) { r.ConditionType = hub.ConditionRisk }, srs("vigilare_srs", "39.5"), true},
		{"score at", func(r *hub.AlertRule) { r.ConditionType = hub.ConditionRisk }, srs("srs", "40"), false},
		{"the limit is no score", func(r *hub.AlertRule) { r.ConditionType = hub.ConditionRisk }, srs("vigilare_min_srs", "10"), false},
		{"score in the payload", func(r *hub.AlertRule) { r.ConditionType = hub.ConditionRisk }, func(a *hub.Alert) { a.Payload = jsontext.Value(`{"srs":12}`) }, true},
		{"score 0 never", func(r *hub.AlertRule) { r.ConditionType, r.MinSRS = hub.ConditionRisk, 0 }, srs("srs", "0"), false},
		{"scenario by type", func(r *hub.AlertRule) { r.ConditionType, r.Scenarios = hub.ConditionScenario, []string{"IAM"} }, nil, true},
		{"scenario by label", func(r *hub.AlertRule) { r.ConditionType, r.Scenarios = hub.ConditionScenario, []string{"billing"} }, nil, true},
		{"another scenario", func(r *hub.AlertRule) { r.ConditionType, r.Scenarios = hub.ConditionScenario, []string{"network"} }, nil, false},
		{"all scenarios", func(r *hub.AlertRule) { r.ConditionType = hub.ConditionScenario }, nil, true},
		{"expression", func(r *hub.AlertRule) {
			r.ConditionType, r.Expression = hub.ConditionExpression, `alert.type == "iam" && event.type == "alert.created"`
		}, nil, true},
		{"false expression", func(r *hub.AlertRule) { r.ConditionType, r.Expression = hub.ConditionExpression, `alert.type == "xss"` }, nil, false},
		{"failing expression", func(r *hub.AlertRule) {
			r.ConditionType, r.Expression = hub.ConditionExpression, `alert.risk_score > 1`
		}, nil, false},
	} {
		tab := table(t, rule(c.rule))
		ev := alert(c.alert)
		if got := tab.Meets(tab.Of("default")[0], &expr.Vars{Event: ev, Now: ev.Time}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	ev := &hub.Event{Type: hub.EndpointDisabled}
	tab := table(t, rule(nil))
	if tab.Meets(tab.Of("default")[0], &expr.Vars{Event: ev}) {
		t.Error("an event without an alert meets a rule")
	}
	if got := (*Table)(nil).Of("default"); got != nil {
		t.Errorf("no table has %v", got)
	}
	if off := table(t, rule(func(r *hub.AlertRule) { r.Enabled = false })); len(off.Of("default")) != 0 || off.Rule("rul_1") == nil || len(tab.Of("other")) != 0 {
		t.Error("disabled rules or those of others are met, or are not found")
	}
}

func TestFaults(t *testing.T) {
	for pointer, change := range map[string]func(*hub.AlertRule){
		"/name":                    func(r *hub.AlertRule) { r.Name = "" },
		"/name ":                   func(r *hub.AlertRule) { r.Name = strings.Repeat("ä", 201) },
		"/condition_type":          func(r *hub.AlertRule) { r.ConditionType = "mood" },
		"/severity_threshold":      func(r *hub.AlertRule) { r.SeverityThreshold = "" },
		"/severity_threshold ":     func(r *hub.AlertRule) { r.SeverityThreshold = "bad" },
		"/expression":              func(r *hub.AlertRule) { r.ConditionType = hub.ConditionExpression },
		"/expression ":             func(r *hub.AlertRule) { r.Expression = "alert." },
		"/risk_score_min":          func(r *hub.AlertRule) { r.RiskScoreMin = ptr(101.0) },
		"/min_srs":                 func(r *hub.AlertRule) { r.MinSRS = -1 },
		"/cooldown_minutes":        func(r *hub.AlertRule) { r.CooldownMinutes = -1 },
		"/max_alerts_per_hour":     func(r *hub.AlertRule) { r.MaxAlertsPerHour = 1001 },
		"/scenarios/0":             func(r *hub.AlertRule) { r.Scenarios = []string{" "} },
		"/schedule/windows":        func(r *hub.AlertRule) { r.Schedule = &hub.RuleSchedule{} },
		"/schedule/timezone":       func(r *hub.AlertRule) { r.Schedule = weekdays("Mars/Base") },
		"/schedule/windows/0/from": func(r *hub.AlertRule) { r.Schedule = weekdays(""); r.Schedule.Windows[0].From = "8:00" },
		"/schedule/windows/0/to":   func(r *hub.AlertRule) { r.Schedule = weekdays(""); r.Schedule.Windows[0].To = "24:01" },
		"/schedule/windows/0/to ":  func(r *hub.AlertRule) { r.Schedule = weekdays(""); r.Schedule.Windows[0].To = "08:00" },
		"/schedule/windows/0/days/1": func(r *hub.AlertRule) {
			r.Schedule = weekdays("")
			r.Schedule.Windows[0].Days = []string{"mon", "noday"}
		},
		"/schedule/outside": func(r *hub.AlertRule) { r.Schedule = weekdays(""); r.Schedule.Outside = "drop" },
	} {
		fields := Check(rule(change))
		if len(fields) != 1 || fields[0].Pointer != strings.TrimSpace(pointer) || fields[0].Detail == "" {
			t.Errorf("%s: %v", pointer, fields)
		}
	}
	good, bad := rule(nil), rule(func(r *hub.AlertRule) { r.ID, r.Expression = "rul_2", "alert." })
	tab, err := New([]*hub.AlertRule{good, bad}, nil)
	if err == nil || !strings.Contains(err.Error(), "rul_2") || len(tab.Of("default")) != 1 {
		t.Errorf("one wrong rule gives %v and %d rules", err, len(tab.Of("default")))
	}
}

func weekdays(zone string) *hub.RuleSchedule {
	return &hub.RuleSchedule{TimeZone: zone, Windows: []hub.RuleWindow{{Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "18:00"}}}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v.UTC()
}

func TestSchedule(t *testing.T) {
	night := &hub.RuleSchedule{TimeZone: "Europe/Berlin", Windows: []hub.RuleWindow{{Days: []string{"fri"}, From: "22:00", To: "06:00"}}}
	always := &hub.RuleSchedule{Windows: []hub.RuleWindow{{From: "00:00", To: "24:00"}}}
	for _, c := range []struct {
		name     string
		s        *hub.RuleSchedule
		at, want string // "" if it is open then
	}{
		{"within", weekdays(""), "2026-03-02T08:00:00Z", ""},
		{"its end is outside", weekdays(""), "2026-03-02T18:00:00Z", "2026-03-03T08:00:00Z"},
		{"before", weekdays(""), "2026-03-02T07:59:59Z", "2026-03-02T08:00:00Z"},
		{"weekend", weekdays(""), "2026-03-06T18:00:00Z", "2026-03-09T08:00:00Z"},
		{"elsewhere", weekdays("Asia/Tokyo"), "2026-03-01T23:00:00Z", ""},
		{"winter", weekdays("Europe/Berlin"), "2026-03-02T06:30:00Z", "2026-03-02T07:00:00Z"},
		{"summer", weekdays("Europe/Berlin"), "2026-06-01T06:30:00Z", ""},
		{"over midnight", night, "2026-03-07T04:59:00Z", ""},
		{"over midnight, over", night, "2026-03-07T05:00:00Z", "2026-03-13T21:00:00Z"},
		{"the night the clocks go forward", &hub.RuleSchedule{TimeZone: "Europe/Berlin", Windows: []hub.RuleWindow{{Days: []string{"sun"}, From: "02:30", To: "04:00"}}}, "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"},
		{"always", always, "2026-03-07T23:59:59Z", ""},
	} {
		s, faults := parseSchedule(c.s)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		now := at(t, c.at)
		want := now
		if c.want != "" {
			want = at(t, c.want)
		}
		if got := s.opens(now); !got.Equal(want) || s.open(now) != (c.want == "") {
			t.Errorf("%s: at %s it opens at %v, want %v", c.name, c.at, got.UTC(), want)
		}
	}
}

// A rule over time: what it tells of, and what it holds back until when.
func TestCooldownLimitAndSchedule(t *testing.T) {
	start := at(t, "2026-03-02T12:00:00Z") // a Monday
	for _, c := range []struct {
		name  string
		rule  func(*hub.AlertRule)
		after []time.Duration // when alerts come
		want  string          // fired, or why and until when
	}{
		{"no limit", nil, []time.Duration{0, 0, time.Second}, "fired fired fired"},
		{"cooldown", func(r *hub.AlertRule) { r.CooldownMinutes = 10 }, []time.Duration{0, time.Second, 10*time.Minute - time.Second, 10 * time.Minute}, "fired cooldown:10m0s cooldown:10m0s fired"},
		{"limit", func(r *hub.AlertRule) { r.MaxAlertsPerHour = 2 }, []time.Duration{0, 10 * time.Minute, 20 * time.Minute, time.Hour, 61 * time.Minute, 70 * time.Minute}, "fired fired hourly limit:1h0m0s fired hourly limit:1h10m0s fired"},
		{"both", func(r *hub.AlertRule) { r.CooldownMinutes, r.MaxAlertsPerHour = 10, 1 }, []time.Duration{0, 5 * time.Minute, 30 * time.Minute}, "fired hourly limit:1h0m0s hourly limit:1h0m0s"},
		{"schedule", func(r *hub.AlertRule) { r.Schedule = weekdays("") }, []time.Duration{0, 6 * time.Hour}, "fired schedule:20h0m0s"},
		{"cooldown ends outside", func(r *hub.AlertRule) { r.Schedule, r.CooldownMinutes = weekdays(""), 600 }, []time.Duration{0, time.Hour}, "fired cooldown:20h0m0s"},
		{"skip", func(r *hub.AlertRule) { r.Schedule = weekdays(""); r.Schedule.Outside = hub.OutsideSkip }, []time.Duration{0, 6 * time.Hour}, "fired schedule:never"},
	} {
		r, s, got := table(t, rule(c.rule)).Rule("rul_1"), &hub.RuleState{}, []string(nil)
		for i, d := range c.after {
			now := start.Add(d)
			ok, due, why := r.May(s, now)
			if ok {
				r.Fire(s, now)
				got = append(got, "fired")
				continue
			}
			r.Hold(s, &hub.Alert{ID: hub.AlertID(fmt.Sprint("alt_", i)), Severity: hub.High}, int64(i), now, due, why)
			until := "never"
			if !due.IsZero() {
				until = due.Sub(start).String()
			}
			got = append(got, why+":"+until)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, text, c.want)
		}
		if n := len(s.Recent); n > r.MaxAlertsPerHour {
			t.Errorf("%s: %d times are kept", c.name, n)
		}
	}
}

// What is held back is counted, the worst of it remembered, and all of it said
// with the next message.
func TestHeldBack(t *testing.T) {
	r := table(t, rule(func(r *hub.AlertRule) { r.CooldownMinutes = 10 })).Rule("rul_1")
	s, now := &hub.RuleState{}, at(t, "2026-03-02T12:00:00Z")
	if note := r.Fire(s, now); note.HeldBack != 0 {
		t.Errorf("the first message tells of %+v", note)
	}
	for i := range 20 {
		severity := hub.Severities[4-i%5]
		_, due, why := r.May(s, now)
		if news := r.Hold(s, &hub.Alert{ID: hub.AlertID(fmt.Sprintf("alt_%02d", i)), Severity: severity}, int64(i), now.Add(time.Second), due, why); news != (i == 0) {
			t.Errorf("alert %d: that it is due is news: %v", i, news)
		}
	}
	var worst []string
	for _, a := range s.Pending.Worst {
		worst = append(worst, string(a.Severity))
	}
	if want := []string{"critical", "critical", "critical", "critical", "high", "high", "high", "high"}; !slices.Equal(worst, want) || s.Pending.Count != 20 || s.HeldBack != 20 {
		t.Errorf("held back %+v", s.Pending)
	}
	Worsen(s.Pending, &hub.Alert{ID: "alt_03", Severity: hub.Critical}, 99)
	if s.Pending.Count != 20 || s.Pending.Worst[4].Alert != "alt_03" || s.Pending.Worst[4].Sequence != 99 || len(s.Pending.Worst) != 8 {
		t.Errorf("after one got worse: %+v", s.Pending.Worst)
	}
	note := r.Fire(s, now.Add(time.Hour))
	if note.HeldBack != 20 || note.Why != WhyCooldown || !note.Since.Equal(now.Add(time.Second)) || s.Pending != nil || s.Fired != 2 {
		t.Errorf("the next message tells of %+v, left is %+v", note, s)
	}
}

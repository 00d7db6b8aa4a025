package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
)

// Bounds of a rule.
const (
	maxName     = 200 // contract §4
	maxCooldown = 7 * 24 * 60
	maxPerHour  = 1000
	maxWindows  = 50
)

// Check gives every fault of a rule. Whether its channels exist is the caller's
// business.
func Check(r *hub.AlertRule) []hub.Field {
	_, fields := compile(r)
	return fields
}

// compile makes a rule ready, or says everything that is wrong with it.
func compile(r *hub.AlertRule) (*Rule, []hub.Field) {
	out := &Rule{AlertRule: r}
	var fields []hub.Field
	wrong := func(pointer, detail string) { fields = append(fields, hub.Field{Pointer: pointer, Detail: detail}) }
	if n := utf8.RuneCountInString(r.Name); n == 0 || n > maxName || strings.TrimSpace(r.Name) == "" {
		wrong("/name", fmt.Sprintf("must have 1 to %d characters", maxName))
	}
	switch r.ConditionType {
	case hub.ConditionRisk, hub.ConditionScenario:
	case hub.ConditionSeverity:
		if r.SeverityThreshold == "" {
			wrong("/severity_threshold", "is required for this condition_type: critical, high, medium, low or info")
		}
	case hub.ConditionExpression:
		if strings.TrimSpace(r.Expression) == "" {
			wrong("/expression", "is required for this condition_type, such as alert.severity == \"critical\"")
		}
	default:
		wrong("/condition_type", "must be risk_score_threshold, severity_threshold, scenario or expression")
	}
	checkNumbers(r, wrong)
	if r.SeverityThreshold != "" && !r.SeverityThreshold.Valid() {
		wrong("/severity_threshold", "must be critical, high, medium, low or info")
	}
	if strings.TrimSpace(r.Expression) != "" {
		var err error
		if out.program, err = expr.Compile(expr.Condition, r.Expression); err != nil {
			wrong("/expression", err.Error())
		}
	}
	if r.Schedule != nil {
		var faults []hub.Field
		out.schedule, faults = parseSchedule(r.Schedule)
		fields = append(fields, faults...)
	}
	return out, fields
}

func checkNumbers(r *hub.AlertRule, wrong func(pointer, detail string)) {
	if r.RiskScoreMin != nil && (*r.RiskScoreMin < 0 || *r.RiskScoreMin > 100) {
		wrong("/risk_score_min", "must be from 0 to 100")
	}
	if r.MinSRS < 0 || r.MinSRS > 100 {
		wrong("/min_srs", "must be from 0 to 100")
	}
	if r.CooldownMinutes < 0 || r.CooldownMinutes > maxCooldown {
		wrong("/cooldown_minutes", fmt.Sprintf("must be from 0 to %d", maxCooldown))
	}
	if r.MaxAlertsPerHour < 0 || r.MaxAlertsPerHour > maxPerHour {
		wrong("/max_alerts_per_hour", fmt.Sprintf("must be from 0 (no limit) to %d", maxPerHour))
	}
	for i, s := range r.Scenarios {
		if strings.TrimSpace(s) == "" || len(s) > 200 {
			wrong(fmt.Sprintf("/scenarios/%d", i), "must have 1 to 200 characters, such as iam")
		}
	}
}

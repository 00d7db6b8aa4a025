package drivertest

import (
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store"
)

// testAlertRules checks the rows of alert rules.
func testAlertRules(t *testing.T, k Kit) {
	s := k.store(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	score := 80.0
	one := &hub.AlertRule{
		ID: "rul_1", Tenant: "default", Name: "one", Enabled: true, ConditionType: hub.ConditionRisk, RiskScoreMin: &score, MinSRS: 40, Scenarios: []string{"iam"},
		Schedule: &hub.RuleSchedule{TimeZone: "Europe/Berlin", Windows: []hub.RuleWindow{{Days: []string{"mon"}, From: "08:00", To: "18:00"}}}, ChannelIDs: []hub.EndpointID{"chn_1"},
		CreatedAt: at, UpdatedAt: at, Version: 1,
	}
	two, other := *one, *one
	two.ID, two.Name = "rul_2", "two"
	other.ID, other.Tenant = "rul_3", "other"
	var before int64
	view(t, s, func(r *store.Reader) (err error) {
		before, err = r.Changes()
		return err
	})
	do(t, s, func(tx *store.Tx) error {
		for _, r := range []*hub.AlertRule{&two, one, &other} {
			withState := *r
			withState.State = &hub.RuleState{Fired: 7}
			if err := tx.PutAlertRule(&withState); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "rules", must[[]*hub.AlertRule](t)(r.AlertRules("default")), []*hub.AlertRule{one, &two})
		if n := len(must[[]*hub.AlertRule](t)(r.AlertRules(""))); n != 3 {
			t.Errorf("%d rules of all tenants", n)
		}
		if _, err := r.AlertRule("other", "rul_1"); hub.KindOf(err) != hub.NotFound {
			t.Errorf("another tenant's rule gives %v", err)
		}
		if n := must[int64](t)(r.Changes()); n == before {
			t.Error("the other nodes were not told")
		}
		return nil
	})
	testRuleStates(t, s, at)
	do(t, s, func(tx *store.Tx) error {
		if err := tx.DeleteAlertRule("other", "rul_1"); hub.KindOf(err) != hub.NotFound {
			t.Errorf("removing another tenant's rule gives %v", err)
		}
		return nil
	})
	do(t, s, func(tx *store.Tx) error { return tx.DeleteAlertRule("default", "rul_1") })
	view(t, s, func(r *store.Reader) error {
		same(t, "rules", must[[]*hub.AlertRule](t)(r.AlertRules("default")), []*hub.AlertRule{&two})
		same(t, "the state of a rule that is gone", must[hub.RuleState](t)(r.RuleState("default", "rul_1")), hub.RuleState{})
		return nil
	})
	testRuleFirings(t, s, at)
}

func testRuleStates(t *testing.T, s *store.Store, at time.Time) {
	state := hub.RuleState{Fired: 3, HeldBack: 2, LastFired: at, Recent: []int64{hub.Micros(at)}, Pending: &hub.RulePending{
		Count: 2, Since: at, Due: at.Add(time.Hour), Why: "cooldown", Worst: []hub.RuleAlert{{Alert: "alt_1", Severity: hub.High, Sequence: 9}},
	}}
	do(t, s, func(tx *store.Tx) error {
		if err := tx.PutRuleState("default", "rul_1", &hub.RuleState{Fired: 1}); err != nil {
			return err
		}
		return tx.PutRuleState("default", "rul_1", &state)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "state", must[hub.RuleState](t)(r.RuleState("default", "rul_1")), state)
		same(t, "a state that is not there", must[hub.RuleState](t)(r.RuleState("other", "rul_1")), hub.RuleState{})
		same(t, "next due", must[time.Time](t)(r.NextRuleDue()), at.Add(time.Hour))
		if n := len(must[[]hub.AlertRule](t)(r.DueRules(at, 10))); n != 0 {
			t.Errorf("%d are due before their time", n)
		}
		same(t, "due", must[[]hub.AlertRule](t)(r.DueRules(at.Add(time.Hour), 10)), []hub.AlertRule{{ID: "rul_1", Tenant: "default"}})
		return nil
	})
	state.Pending = nil
	do(t, s, func(tx *store.Tx) error { return tx.PutRuleState("default", "rul_1", &state) })
	view(t, s, func(r *store.Reader) error {
		same(t, "nothing due", must[time.Time](t)(r.NextRuleDue()), time.Time{})
		return nil
	})
}

func testRuleFirings(t *testing.T, s *store.Store, at time.Time) {
	f := hub.RuleFiring{Rule: "rul_1", Tenant: "default", Alert: "alt_1", Generation: 1, Severity: 4, At: at}
	g := f
	g.Rule, g.Told = "rul_2", true
	do(t, s, func(tx *store.Tx) error {
		tx.AddRuleFiring(&f)
		tx.AddRuleFiring(&g)
		same(t, "firings of the transaction itself", must[[]hub.RuleFiring](t)(tx.RuleFirings("default", "alt_1")), []hub.RuleFiring{f, g})
		f.Generation, f.Severity, f.Told = 2, 5, true
		return tx.PutRuleFiring(&f)
	})
	view(t, s, func(r *store.Reader) error {
		same(t, "firings", must[[]hub.RuleFiring](t)(r.RuleFirings("default", "alt_1")), []hub.RuleFiring{f, g})
		if n := len(must[[]hub.RuleFiring](t)(r.RuleFirings("other", "alt_1"))); n != 0 {
			t.Errorf("another tenant sees %d", n)
		}
		return nil
	})
	do(t, s, func(tx *store.Tx) error { return tx.DeleteRuleFirings("default", "alt_1") })
	view(t, s, func(r *store.Reader) error {
		if n := len(must[[]hub.RuleFiring](t)(r.RuleFirings("default", "alt_1"))); n != 0 {
			t.Errorf("%d are left", n)
		}
		return nil
	})
}

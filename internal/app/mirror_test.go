package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/api"
	"github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/unkind"
	"github.com/tocsin/tocsin/test/sim/vigilare"
)

// A mirrored is a hub with two sources that are told what becomes of their
// findings.
type mirrored struct {
	*running
	vigilare *vigilare.Sim
	echelon  *echelongraph.Sim
	ahead    atomic.Int64 // of their clocks, which tell seconds only
	config   string
	dir      string
}

func newMirrored(t *testing.T, more string) *mirrored {
	m := &mirrored{dir: t.TempDir()}
	o := unkind.Options{Kind: true, Now: func() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }}
	m.vigilare = vigilare.New(vigilare.Options{Options: o})
	m.echelon = echelongraph.New(echelongraph.Options{Options: o, Plan: "enterprise"})
	serve := func(h http.Handler) string {
		far := httptest.NewServer(h)
		t.Cleanup(far.Close)
		return far.URL
	}
	m.config = fmt.Sprintf(quick+`connectors:
  - {name: aws, kind: vigilare, base_url: '%s', email: %s, password: %s, interval: 1h%s}
  - {name: graph, kind: echelongraph, base_url: '%s/v1', email: %s, password: %s, events: false, interval: 1h%s}
`, serve(m.vigilare), vigilare.DefaultEmail, vigilare.DefaultPassword, more, serve(m.echelon), echelongraph.DefaultEmail, echelongraph.DefaultPassword, more)
	m.running = start(t, load(t, m.dir, m.config), withKey)
	return m
}

// pull pulls both sources and waits for the end of a pull that began afterwards.
func (m *mirrored) pull() {
	m.t.Helper()
	for _, name := range []string{"aws", "graph"} {
		before, err := m.fleet.State(hub.DefaultTenant, name)
		if err != nil {
			m.t.Fatal(err)
		}
		call[any](m.running, "POST", "/api/v1/connectors/"+name+"/sync", "", 200)
		m.eventually("a whole pull of "+name, func() bool {
			s, _ := m.fleet.State(hub.DefaultTenant, name)
			// One that ran already may have passed what is to be seen.
			return s.Counts.Pulls-s.Counts.Errors >= before.Counts.Pulls-before.Counts.Errors+2 ||
				s.Counts.Pulls > before.Counts.Pulls && s.LastAttempt.After(before.LastAttempt) && s.LastError == nil && !s.LastSuccess.Before(s.LastAttempt)
		})
	}
	m.eventually("triage", func() bool { n, err := m.bus.Lag("findings", triageGroup); return err == nil && n == 0 })
}

// alertOf gives the alert of a finding of a source.
func (m *mirrored) alertOf(source, id string) *api.AlertView {
	m.t.Helper()
	list := call[assetPage[api.FindingView]](m.running, "GET", "/api/v1/findings?limit=200&source="+source, "", 200)
	for _, f := range list.Data {
		if f.SourceID == id {
			v := call[api.AlertView](m.running, "GET", "/api/v1/alerts/"+string(f.AlertID), "", 200)
			return &v
		}
	}
	m.t.Fatalf("%s has no finding %s", source, id)
	return nil
}

// writes gives the requests that changed something there, but for logins.
func writes(s interface{ History() []unkind.Exchange }) (all []string) {
	for _, x := range s.History() {
		if !strings.HasPrefix(x.Request, "GET ") && !strings.Contains(x.Request, "/auth/") {
			all = append(all, x.Request)
		}
	}
	return all
}

// changed gives what the outside was told of an alert.
func (m *mirrored) changed(id hub.AlertID) (told []string) {
	m.t.Helper()
	for _, c := range call[api.AlertView](m.running, "GET", "/api/v1/alerts/"+string(id), "", 200).Timeline {
		if _, status := c.Changes["status"]; status {
			told = append(told, c.Action)
		}
	}
	return told
}

func (m *mirrored) settled() {
	m.t.Helper()
	m.eventually("all deliveries are over", func() bool {
		for state, n := range m.states("") {
			if n > 0 && state != hub.DeliverySucceeded {
				return false
			}
		}
		return true
	})
}

// What is done here is told to the source once, and what the source then says of
// it is no news.
func TestSourcesAreToldWhatBecomesOfTheirFindings(t *testing.T) {
	m := newMirrored(t, "")
	m.vigilare.SetScore(vigilare.DefaultAccount, 30)
	there := m.vigilare.Alerts()[0].ID
	item := m.echelon.AddItem("alerts", echelongraph.Item{Severity: "high"})
	m.pull()
	m.ahead.Store(int64(10 * time.Second)) // what they say of our calls is newer than what was done here
	a, e := m.alertOf("aws", "alert|"+there), m.alertOf("graph", "alert|"+item.ID)
	for _, id := range []hub.AlertID{a.ID, e.ID} {
		call[any](m.running, "POST", "/api/v1/alerts/"+string(id)+"/acknowledge", "", 200)
		call[any](m.running, "POST", "/api/v1/alerts/"+string(id)+"/acknowledge", "", 200) // done already
	}
	m.settled()
	m.pull()
	m.pull()
	if got := writes(m.vigilare); len(got) != 1 || !strings.Contains(got[0], there) || m.vigilare.Alerts()[0].AcknowledgedAt == nil {
		t.Errorf("Vigilare was called with %v", got)
	}
	if got := writes(m.echelon); len(got) != 1 || m.echelon.Items("alerts")[0].Status != "acknowledged" {
		t.Errorf("EchelonGraph was called with %v", got)
	}
	call[any](m.running, "POST", "/api/v1/alerts/"+string(a.ID)+"/resolve", "", 200)
	call[any](m.running, "POST", "/api/v1/alerts/"+string(e.ID)+"/resolve", "", 200)
	m.settled()
	m.pull()
	call[any](m.running, "POST", "/api/v1/alerts/"+string(e.ID)+"/reopen", "", 200)
	m.settled()
	m.pull()
	if got := writes(m.echelon); len(got) != 3 || m.echelon.Items("alerts")[0].Status != "open" {
		t.Errorf("EchelonGraph was called with %v, and says %s", got, m.echelon.Items("alerts")[0].Status)
	}
	if got := fmt.Sprint(m.changed(a.ID), m.changed(e.ID)); got != "[acknowledged resolved] [acknowledged resolved reopened]" {
		t.Errorf("the alerts changed so: %s", got)
	}
	if broken := append(m.vigilare.Violations(), m.echelon.Violations()...); len(broken) > 0 {
		t.Errorf("against the rules: %v", broken)
	}
}

// Who acknowledges at the source has acknowledged here, and hears nothing of it.
func TestAcknowledgedAtTheSource(t *testing.T) {
	m := newMirrored(t, "")
	m.vigilare.SetScore(vigilare.DefaultAccount, 30)
	there := m.vigilare.Alerts()[0].ID
	item := m.echelon.AddItem("alerts", echelongraph.Item{Severity: "high"})
	m.pull()
	m.vigilare.Ack(there)
	m.echelon.Change("alerts", item.ID, "acknowledged", "")
	m.pull()
	for source, id := range map[string]string{"aws": there, "graph": item.ID} {
		a := m.alertOf(source, "alert|"+id)
		if a.Status != hub.AlertInvestigating || a.AcknowledgedBy != "source:"+source || a.AcknowledgedAt.IsZero() {
			t.Errorf("of %s: %s by %q at %v", source, a.Status, a.AcknowledgedBy, a.AcknowledgedAt)
		}
		if got := fmt.Sprint(m.changed(a.ID)); got != "[acknowledged]" {
			t.Errorf("of %s: it changed so: %s", source, got)
		}
	}
	m.settled()
	if got := append(writes(m.vigilare), writes(m.echelon)...); len(got) > 0 {
		t.Errorf("they were called with %v", got)
	}
}

// While the source is down and the hub is stopped and started, what was done here
// waits; then it is told, in order, and its echo is none, though nobody remembers
// that it was us.
func TestSourcesAreToldAfterARestart(t *testing.T) {
	m := newMirrored(t, "")
	m.vigilare.SetScore(vigilare.DefaultAccount, 30)
	there := m.vigilare.Alerts()[0].ID
	item := m.echelon.AddItem("alerts", echelongraph.Item{Severity: "high"})
	m.pull()
	a, e := m.alertOf("aws", "alert|"+there), m.alertOf("graph", "alert|"+item.ID)
	m.ahead.Store(int64(10 * time.Second)) // what they say of our calls is newer than what was done here
	down := unkind.Knobs{Fail: 1}
	m.vigilare.Set(down)
	m.echelon.Set(down)
	for _, id := range []hub.AlertID{a.ID, e.ID} {
		call[any](m.running, "POST", "/api/v1/alerts/"+string(id)+"/acknowledge", "", 200)
		call[any](m.running, "POST", "/api/v1/alerts/"+string(id)+"/resolve", "", 200)
	}
	m.eventually("each was tried", func() bool { return len(writes(m.vigilare)) > 0 && len(writes(m.echelon)) > 0 })
	m.stop()
	m.vigilare.Set(unkind.Knobs{})
	m.echelon.Set(unkind.Knobs{})
	m.running = start(t, load(t, m.dir, m.config), withKey)
	m.settled()
	m.stop()
	m.running = start(t, load(t, m.dir, m.config), withKey)
	m.pull()
	m.pull()
	if m.vigilare.Alerts()[0].AcknowledgedAt == nil || m.echelon.Items("alerts")[0].Status != "resolved" {
		t.Errorf("they have %+v and %+v", m.vigilare.Alerts()[0], m.echelon.Items("alerts")[0])
	}
	if got := fmt.Sprint(m.changed(a.ID), m.changed(e.ID)); got != "[acknowledged resolved] [acknowledged resolved]" {
		t.Errorf("the alerts changed so: %s", got)
	}
}

// A connector can be told to keep what is done here to itself.
func TestMirrorCanBeTurnedOff(t *testing.T) {
	m := newMirrored(t, ", mirror: false")
	item := m.echelon.AddItem("alerts", echelongraph.Item{Severity: "high"})
	m.pull()
	e := m.alertOf("graph", "alert|"+item.ID)
	call[any](m.running, "POST", "/api/v1/alerts/"+string(e.ID)+"/acknowledge", "", 200)
	if n := m.states(""); len(n) != 0 || len(writes(m.echelon)) != 0 {
		t.Errorf("there are deliveries %v", n)
	}
}

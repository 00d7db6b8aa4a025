package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/test/sim/cloudoptix"
	"github.com/tocsin/tocsin/test/sim/echelongraph"
	"github.com/tocsin/tocsin/test/sim/edgetelemetry"
	"github.com/tocsin/tocsin/test/sim/vigilare"
)

// A cloudFeed makes problems come, change and end at the simulated source systems
// beside CyberVault. Each is about an asset of its own, but for one: a root key in
// foreign hands, which three systems see one after the other, each with its own
// words and severity. The profiles of the configuration make one alert of it.
type cloudFeed struct {
	far    *farSides
	random *rand.Rand
	waves  int

	echelon, edge, vigilare []string // ids of open items there
	optix                   []int64

	alert string // of the one problem, once all three have been heard
	acked bool   // it was acknowledged, here
}

// The one problem.
const (
	sharedAsset = vigilare.DefaultAccount // an AWS account
	sharedTitle = "Root access key used from an unknown network"
)

// sourceNames are the connectors of the configuration.
var sourceNames = [...]string{"cloudoptix", "cybervault", "echelongraph", "edgetelemetry", "vigilare"}

// sharedBy are the sources that see it, in order of their names.
var sharedBy = [...]string{"echelongraph", "edgetelemetry", "vigilare"}

// maxAccounts is how many AWS accounts get a problem, because each costs a call in
// every pull.
const maxAccounts = 8

func newCloudFeed(far *farSides) *cloudFeed {
	return &cloudFeed{far: far, random: rand.New(rand.NewPCG(seed, 4))}
}

// wave adds problems and changes older ones.
func (c *cloudFeed) wave() {
	c.waves++
	c.change()
	for n := range 2 {
		asset := fmt.Sprintf("ec-%03d-%d", c.waves, n)
		x := c.far.echelon.AddItem("alerts", echelongraph.Item{AssetID: asset, Category: pick(c.random, "network", "data", "compute", "malware"), Severity: c.severity()})
		c.echelon = append(c.echelon, x.ID)
		c.edge = append(c.edge, c.far.edge.AddAlert(edgetelemetry.Alert{
			Severity: c.severity(), Title: "Unusual behaviour of a device", Desc: "Device edge-" + asset + " does what it never did",
			Context: map[string]any{"asset_id": "edge-" + asset, "category": pick(c.random, "anomaly", "malware", "network")},
		}).ID)
		c.optix = append(c.optix, c.far.optix.AddAlert(cloudoptix.Alert{
			AccountID: fmt.Sprintf("3%09d%02d", c.waves, n), Level: strings.ToUpper(c.severity()), Type: pick(c.random, "Policy", "Anomaly", "GuardDuty"),
			Summary: "Something that no baseline allows",
		}).ID)
	}
	if c.waves <= maxAccounts {
		account := fmt.Sprintf("2000000000%02d", c.waves)
		c.far.vigilare.PutAccount(vigilare.Account{ID: account, DisplayName: "Team " + account[10:], Status: "ACTIVE"})
		g := c.far.vigilare.AddSignal(account, vigilare.Signal{Scenario: "billing", Severity: c.severity(), Title: "Spend far above the usual"})
		c.vigilare = append(c.vigilare, g.ID)
	}
	c.shared()
}

// change resolves a problem at each system and has another acknowledged there.
func (c *cloudFeed) change() {
	if c.waves%2 == 0 || len(c.edge) < 4 {
		return
	}
	c.far.echelon.Change("alerts", take(c.random, &c.echelon), "resolved", "")
	c.far.echelon.Change("alerts", take(c.random, &c.echelon), "acknowledged", "")
	c.far.edge.SetAlert(take(c.random, &c.edge), "resolved", "")
	c.far.edge.SetAlert(take(c.random, &c.edge), "acknowledged", "")
	if len(c.vigilare) > 1 {
		c.far.vigilare.Resolve(take(c.random, &c.vigilare), true)
	}
	// A person suppresses one, which no time tells, and a scan finds another worse.
	c.far.optix.Suppress(take(c.random, &c.optix), true)
	c.far.optix.SetLevel(c.optix[0], "CRITICAL")
}

// take takes one of them off the list.
func take[T any](r *rand.Rand, from *[]T) T {
	i := r.IntN(len(*from))
	id := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return id
}

func (c *cloudFeed) severity() string { return pick(c.random, "critical", "high", "medium", "low") }

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// shared has one system after the other see the one problem.
func (c *cloudFeed) shared() {
	switch c.waves {
	case 1:
		c.far.echelon.AddItem("alerts", echelongraph.Item{AssetID: sharedAsset, Category: "identity", Severity: "high", Title: sharedTitle})
	case 2:
		c.far.vigilare.AddSignal(sharedAsset, vigilare.Signal{Scenario: "iam", Severity: "medium", Title: "Root credentials in use"})
	case 3:
		c.far.edge.AddAlert(edgetelemetry.Alert{
			Severity: "critical", Title: "Impossible travel of an identity", Desc: "Two continents within an hour",
			Context: map[string]any{"asset_id": sharedAsset, "category": "iam"},
		})
	}
}

// acknowledge acknowledges the one problem here, as soon as all three systems have
// told of it: each has to hear of that.
func (c *cloudFeed) acknowledge(ctx context.Context, hub *client) error {
	if c.acked || c.waves < len(sharedBy) {
		return nil
	}
	list, err := all[alert](ctx, hub, "/alerts", url.Values{"asset_id": {sharedAsset}, "type": {"iam"}})
	if err != nil || len(list) != 1 || !slices.Equal(list[0].Sources, sharedBy[:]) {
		return err
	}
	// Vigilare tells of a signal, for which it has no call, and of its own alert.
	found, err := all[finding](ctx, hub, "/findings", url.Values{"asset_id": {sharedAsset}, "source": {"vigilare"}})
	if err != nil || !slices.ContainsFunc(found, func(f finding) bool { return strings.HasPrefix(f.SourceID, "alert|") && f.AlertID == list[0].ID }) {
		return err
	}
	c.alert = list[0].ID
	err = hub.call(ctx, request{method: http.MethodPost, path: "/alerts/" + c.alert + "/acknowledge", body: []byte(`{"note":"I am on it."}`)}, http.StatusOK, nil)
	c.acked = err == nil
	return err
}

// A said is what a source system says of an asset, in the hub's words.
type said struct{ source, asset, status string }

// states gives what the systems say of each asset but the shared one.
func (c *cloudFeed) states() (out []said) {
	for _, x := range c.far.echelon.Items("alerts") {
		out = append(out, said{"echelongraph", x.AssetID, word(x.Status)})
	}
	for _, a := range c.far.edge.Alerts() {
		asset, _ := a.Context["asset_id"].(string)
		out = append(out, said{"edgetelemetry", asset, word(a.Status)})
	}
	for account, list := range c.far.vigilare.Signals() {
		for _, g := range list {
			status := "open"
			if g.ResolvedAt != nil {
				status = "resolved"
			}
			out = append(out, said{"vigilare", account, status})
		}
	}
	for _, a := range c.far.optix.Alerts() {
		out = append(out, said{"cloudoptix", a.AccountID, word(a.State)})
	}
	return slices.DeleteFunc(out, func(s said) bool { return s.asset == sharedAsset })
}

// word puts their status in the hub's words.
func word(theirs string) string {
	switch theirs {
	case "acknowledged":
		return "investigating"
	case "resolved", "dismissed", "SUPPRESS":
		return "resolved"
	}
	return "open"
}

// heard lists the systems that know of the acknowledgement.
func (c *cloudFeed) heard() (names []string) {
	for _, x := range c.far.echelon.Items("alerts") {
		if x.AssetID == sharedAsset && x.Status == "acknowledged" {
			names = append(names, "echelongraph")
		}
	}
	for _, a := range c.far.edge.Alerts() {
		if a.Context["asset_id"] == sharedAsset && a.Status == "acknowledged" {
			names = append(names, "edgetelemetry")
		}
	}
	for _, a := range c.far.vigilare.Alerts() {
		if a.AccountID == sharedAsset && a.AcknowledgedAt != nil {
			names = append(names, "vigilare")
		}
	}
	return names
}

// clouds: each problem of the other systems is one alert here, in the state that it
// has there; the one that three of them see is one alert, acknowledged here and
// there.
func (j *judge) clouds() {
	byAsset := map[string][]alert{}
	for _, a := range j.alerts {
		byAsset[a.AssetID] = append(byAsset[a.AssetID], a)
	}
	for _, s := range j.feed.cloud.states() {
		switch list := byAsset[s.asset]; {
		case len(list) == 0 && s.status == "resolved" && j.told(s):
			// It was over before the first pull: nobody needs an alert of it.
		case len(list) == 0:
			j.lose("the problem of %s at %s has not become an alert", s.asset, s.source)
		case len(list) > 1:
			j.fault("the problem of %s at %s has become %d alerts", s.asset, s.source, len(list))
		case list[0].Status != s.status || !slices.Equal(list[0].Sources, []string{s.source}):
			j.fault("alert %s of %s is %s and from %v, %s says %s", list[0].ID, s.asset, list[0].Status, list[0].Sources, s.source, s.status)
		}
	}
	j.together(byAsset[sharedAsset])
}

// told reports whether a source has told of an asset.
func (j *judge) told(s said) bool {
	for _, f := range j.findings {
		if f.Source == s.source && f.AssetID == s.asset {
			return true
		}
	}
	return false
}

// together looks at the one problem.
func (j *judge) together(list []alert) {
	if j.feed.cloud.waves < len(sharedBy) {
		return // the demo was too short
	}
	iam := slices.DeleteFunc(slices.Clone(list), func(a alert) bool { return a.Type != "iam" })
	if len(iam) != 1 {
		j.fault("the problem that %s see is %d alerts, not one", strings.Join(sharedBy[:], ", "), len(iam))
		return
	}
	if a := iam[0]; !slices.Equal(a.Sources, sharedBy[:]) || a.Severity != "critical" || a.Status != "investigating" {
		j.fault("the alert of the problem that three see is %s and %s, from %v", a.Severity, a.Status, a.Sources)
	}
	if heard := j.feed.cloud.heard(); !slices.Equal(heard, sharedBy[:]) {
		j.fault("of its acknowledgement know only %v", heard)
	}
}

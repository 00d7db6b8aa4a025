package cloudoptix

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

// TestStateWithoutSighting suppresses an alert that nobody has seen for hours:
// only the count of open ones tells, and the next pull finds which it is.
func TestStateWithoutSighting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, false)
		f.Be(true)
		wire := connectortest.Connect(f.far().Handler)
		t.Cleanup(wire.Close)
		s := connectortest.Settings(config1)
		s.Client = wire.Client()
		source, err := Open(s)
		if err != nil {
			t.Fatal(err)
		}
		f.add(1)
		page, cursor := gather(t, source, nil)
		if len(page.Findings) != 1 || page.Findings[0].Status != hub.FindingOpen {
			t.Fatalf("first pull: %+v", page.Findings)
		}
		time.Sleep(3 * time.Hour)
		if page, cursor = gather(t, source, cursor); len(page.Findings) != 0 {
			t.Errorf("quiet pull: %+v", page.Findings)
		}
		f.change(rand.New(rand.NewPCG(1, 1)))
		page, cursor = gather(t, source, cursor)
		if len(page.Findings) != 1 || page.Findings[0].Status != hub.FindingResolved {
			t.Errorf("after the change: %+v", page.Findings)
		}
		if page, _ = gather(t, source, cursor); len(page.Findings) != 0 {
			t.Errorf("told twice: %+v", page.Findings)
		}
		if !strings.Contains(string(source.Report()), `"total":0`) {
			t.Errorf("report: %s", source.Report())
		}
	})
}

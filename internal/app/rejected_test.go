package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/internal/api"
)

// An item that cannot be used is refused alone, wherever it stands in its
// request, kept for people to look at, also over a restart, and counted.
func TestRejectedItemsAreKept(t *testing.T) {
	dir := t.TempDir()
	const yaml = "connectors: [{name: cloud, kind: guardduty, auth: token, secret: abcdefghijklmnop}, {name: other, kind: falco, auth: token, secret: abcdefghijklmnop}]"
	r := start(t, load(t, dir, yaml), withKey)
	falco := func(rule string) string {
		return fmt.Sprintf(`{"uuid":"%s","output":"x","priority":"Critical","rule":"%s","time":"2026-03-01T12:00:00Z","output_fields":{}}`, rule, rule)
	}
	body := "{\"rule\": oops\n" + falco("one") + "\n{\"output\": 7}\n" + falco("two") + "\n"
	status, answer := r.do("POST", "/api/v1/ingest/other", "abcdefghijklmnop", body, "Content-Type", "application/x-ndjson")
	if status != 202 || !strings.Contains(answer, `"accepted":2`) || !strings.Contains(answer, `"index":0`) || !strings.Contains(answer, `"index":2`) {
		t.Fatalf("the batch is answered %d %s", status, answer)
	}
	if status, answer := r.do("POST", "/api/v1/ingest/other", "abcdefghijklmnop", `[{"output":7}]`); status != 422 || !strings.Contains(answer, `"pointer":"/0"`) {
		t.Errorf("a batch without one good item is answered %d %s", status, answer)
	}
	check := func() {
		t.Helper()
		all := call[assetPage[api.RejectedItem]](r, "GET", "/api/v1/connectors/other/rejected", "", 200).Data
		if len(all) != 3 || all[0].Item != `{"output":7}` || all[1].Index != 2 || all[2].Item != `{"rule": oops` || all[2].Error == "" || all[2].At.IsZero() {
			t.Errorf("kept are %+v", all)
		}
	}
	check()
	if n := len(call[assetPage[api.RejectedItem]](r, "GET", "/api/v1/connectors/cloud/rejected", "", 200).Data); n != 0 {
		t.Errorf("of another source %d are kept", n)
	}
	call[any](r, "GET", "/api/v1/connectors/none/rejected", "", 404)
	_, metrics := r.do("GET", "/metrics", testKey, "")
	for _, want := range []string{
		`tocsin_connector_rejected_total{connector="other"} 3`, `tocsin_connector_state{connector="other",kind="falco",state="listening"} 1`,
		`tocsin_connector_consecutive_failures{connector="cloud",kind="guardduty"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, c := range call[assetPage[api.ConnectorState]](r, "GET", "/api/v1/connectors", "", 200).Data {
		if c.Name == "other" && (c.Counts["rejected"] != 3 || c.Counts["findings_received"] != 2 || len(c.ListensOn) != 1 || c.ListensOn[0] != "/api/v1/ingest/other") {
			t.Errorf("the source is %+v", c)
		}
	}
	r.stop()
	r = start(t, load(t, dir, yaml), withKey)
	check()
}

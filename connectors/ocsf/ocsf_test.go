package ocsf

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(read)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(read)) }

func TestGuarded(t *testing.T) {
	connectortest.Guarded(t, Kind(), "", []byte(`{"class_uid":2004,"finding_info":{"uid":"f"}}`), 1)
}

func one(t *testing.T, class int, members string) hub.Finding {
	t.Helper()
	in := fmt.Sprintf(`{"class_uid":%d,"metadata":{"product":{"name":"p"},"uid":"e"},%s}`, class, strings.TrimSuffix(`"x":1,`+members, ","))
	if !strings.Contains(members, "finding") {
		in = strings.Replace(in, `"x":1`, `"finding_info":{"uid":"f"}`, 1)
	}
	b, err := connectortest.Of(read)([]byte(in))
	if err != nil || len(b.Findings) != 1 {
		t.Fatalf("%s: %+v, %v", in, b, err)
	}
	return b.Findings[0]
}

func TestSeverity(t *testing.T) {
	for members, want := range map[string]hub.Severity{
		`"severity_id":1`: hub.Info, `"severity_id":2`: hub.Low, `"severity_id":3`: hub.Medium, `"severity_id":4`: hub.High, `"severity_id":5`: hub.Critical,
		`"severity_id":6`: hub.Critical, `"severity_id":"4"`: hub.High, `"severity_id":0`: hub.Medium, `"severity_id":0,"severity":"Unknown"`: hub.Medium,
		`"severity_id":99,"severity":"Severe"`: hub.High, `"severity_id":99,"severity":"Odd"`: hub.High, `"severity":"Low"`: hub.Low, ``: hub.Medium,
	} {
		if got := one(t, 2004, members).Severity; got != want {
			t.Errorf("%s is %s, want %s", members, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		class   int
		members string
		want    hub.FindingStatus
	}{
		{2004, ``, "open"},
		{2004, `"activity_id":1,"status_id":1`, "open"},
		{2004, `"activity_id":2,"status_id":2`, "open"},
		{2004, `"activity_id":3`, "resolved"},
		{2004, `"status_id":3`, "resolved"},
		{2004, `"status_id":4`, "resolved"},
		{2004, `"status_id":5`, "resolved"},
		{2002, `"status_id":6`, "resolved"},
		{2004, `"status_id":99`, "open"},
		{2005, `"status_id":3`, "open"}, // on hold
		{2005, `"status_id":4`, "resolved"},
		{2005, `"status_id":5`, "resolved"},
		{2005, `"status_id":6`, "open"},
		{2001, `"state_id":4`, "resolved"},
		{2001, `"state_id":1,"status_id":1`, "open"},
		{2003, `"compliance":{"status_id":1}`, "resolved"},
		{2003, `"compliance":{"status_id":3}`, "open"},
		{2003, `"compliance":{"status":"Pass"}`, "resolved"},
		{2004, `"status_code":"PASS"`, "resolved"},
		{2004, `"status_code":"FAIL"`, "open"},
	} {
		if got := one(t, c.class, c.members).Status; got != c.want {
			t.Errorf("%d with %s is %s, want %s", c.class, c.members, got, c.want)
		}
	}
}

// An incident has no uid of its own.
func TestIncidents(t *testing.T) {
	id := func(members string) string { return one(t, 2005, members).SourceID }
	list := `"finding_info_list":[{"uid":"b"},{"uid":"a"}]`
	turned := `"finding_info_list":[{"uid":"a"},{"uid":"b"}]`
	if id(list) != id(turned) || id(list) == id(`"finding_info_list":[{"uid":"a"}]`) {
		t.Error("the findings do not name the incident")
	}
	if id(`"src_url":"https://x/1",`+list) != id(`"src_url":"https://x/1","finding_info_list":[]`) {
		t.Error("its address does not come before its findings")
	}
}

func TestOtherClasses(t *testing.T) {
	for _, in := range []string{`{"class_uid":3002,"finding_info":{"uid":"f"}}`, `{"class_uid":2009,"finding_info":{"uid":"f"}}`, `{"finding_info":{"uid":"f"}}`, `{"class_uid":2004}`, `{"class_uid":2004.5,"finding_info":{"uid":"f"}}`} {
		if b, err := connectortest.Of(read)([]byte(in)); err != nil || len(b.Rejects) != 1 {
			t.Errorf("%s: %+v, %v", in, b, err)
		}
	}
}

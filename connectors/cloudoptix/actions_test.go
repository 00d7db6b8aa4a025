package cloudoptix

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

func TestSample(t *testing.T) {
	source, err := Kind().Open(connectortest.Settings(sample))
	if err != nil {
		t.Fatal(err)
	}
	_, pulls := source.(connectors.Puller)
	_, acts := source.(connectors.Actor)
	_, tests := source.(connectors.Tester)
	_, reports := source.(connectors.Reporter)
	_, describes := source.(connectors.Describer)
	if !pulls || !acts || !tests || !reports || !describes {
		t.Errorf("%T lacks a capability", source)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"{}", "api_key"},
		{"{api_key: k, base_url: sophos.com}", "base_url"},
		{"{api_key: k, base_url: 'https://u:pass@x'}", "base_url"},
		{"{api_key: k, alert_type: policy}", "alert_type"},
		{"{api_key: k, providers: [GCP]}", "providers"},
		{"{api_key: k, policy_tags: [ISO]}", "policy_tags"},
		{"{api_key: k, states: [CLOSED]}", "states"},
		{"{api_key: k, severity: info}", "severity"},
		{"{api_key: k, account_ids: ['1,2']}", "account_ids"},
		{"{api_key: k, inventory: [hosts]}", "inventory"},
		{"{api_key: k, history: 9000h}", "history"},
		{"{api_key: k, rescan: 1m}", "rescan"},
		{"{api_key: k, max_tracked: -1}", "max_tracked"},
		{"{apikey: k}", "apikey"},
	} {
		_, err := Open(connectortest.Settings(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v, want an error about %s", tt.text, err, tt.want)
		}
	}
}

// A script answers by method and path, and keeps what it was asked.
type script struct {
	answers map[string]string
	asked   []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	line := r.Method + " " + strings.TrimPrefix(r.URL.RequestURI(), "/api/v1")
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			line += " " + err.Error()
		}
		for _, name := range []string{"repo_url", "branch", "async"} {
			if v := r.FormValue(name); v != "" {
				line += " " + name + "=" + v
			}
		}
		for _, f := range r.MultipartForm.File["files"] {
			line += " file=" + f.Filename
		}
	} else if body, _ := io.ReadAll(r.Body); len(body) > 0 {
		line += " " + string(body)
	}
	s.asked = append(s.asked, line)
	path, _, _ := strings.Cut(strings.TrimPrefix(r.URL.RequestURI(), "/api/v1"), "?")
	if a, ok := s.answers[r.URL.RequestURI()]; ok {
		io.WriteString(w, a)
		return
	}
	if a, ok := s.answers[path]; ok {
		io.WriteString(w, a)
		return
	}
	io.WriteString(w, "{}")
}

func scripted(t *testing.T, answers map[string]string) (*script, *Source) {
	far := &script{answers: answers}
	wire := connectortest.Connect(far)
	t.Cleanup(wire.Close)
	s := connectortest.Settings(config1)
	s.Client = wire.Client()
	source, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return far, source
}

func do(t *testing.T, s *Source, action, params string) (string, error) {
	t.Helper()
	for _, spec := range s.Actions() {
		if spec.Name == "cloudoptix."+action {
			if err := spec.Check(jsontext.Value(params)); err != nil {
				return "", err
			}
			v, err := s.Do(t.Context(), spec.Name, "key", jsontext.Value(params))
			return string(v), err
		}
	}
	t.Fatalf("no action %s", action)
	return "", nil
}

func TestActions(t *testing.T) {
	far, source := scripted(t, map[string]string{"/image-scanning/submit-for-scan": `{"taskId":"t1"}`})
	const files = `"files":[{"name":"Dockerfile","content":"FROM a"},{"name":"b.tf","base64":"eA=="}]`
	for _, tt := range []struct{ action, params, want string }{
		{"count_alerts", `{"days":7,"states":"OPEN"}`, "GET /alerts/count?days=7&states=OPEN"},
		{"search", `{"searchKey":"AWS_S3","searchTerm":"isPublic:true","filters":"a=1,2;b=3","page":1,"size":10000}`, "GET /search/AWS_S3?filters=a%3D1%2C2%3Bb%3D3&page=1&searchTerm=isPublic%3Atrue&size=10000"},
		{"scan_images", `{` + files + `,"repo_url":"r","branch":"main"}`, "POST /image-scanning/submit-for-scan repo_url=r branch=main file=Dockerfile file=b.tf"},
		{"scan_images_by_name", `{"repoURL":"r","imageNames":"a:1,b:2"}`, "POST /image-scanning/submit-for-scan/by-image-name?imageNames=a%3A1%2Cb%3A2&repoURL=r"},
		{"image_scan_result", `{"taskId":"t1"}`, "GET /image-scanning/get-scan-result?taskId=t1"},
		{"container_scan_result", `{"container":"docker.io/a/b:1"}`, "GET /image-scanning/container-scan-result?container=docker.io%2Fa%2Fb%3A1"},
		{"scan_iac", `{` + files + `,"async":false}`, "POST /iac/scan async=false file=Dockerfile file=b.tf"},
		{"iac_scan_status", `{"scan_id":"s"}`, "GET /iac/scan/status?scan_id=s"},
		{"iac_scan_report", `{"scan_id":"s"}`, "GET /iac/scan/detailedReport?scan_id=s"},
		{"vpc_traffic", `{"accountId":"1","vpcId":"vpc-1","isPageable":true,"page":1,"size":50}`, "GET /outgoingtraffic/vpc?accountId=1&isPageable=true&page=1&size=50&vpcId=vpc-1"},
		{"instance_traffic", `{"instanceId":"i-1","timeFrom":"2026-01-01T00:00:00+00:00"}`, "GET /outgoingtraffic/instance?instanceId=i-1&timeFrom=2026-01-01T00%3A00%3A00%2B00%3A00"},
		{"alert_on_outbound_ips", `{"ips":["1.2.3.4"]}`, `POST /outboundtraffic/ipList [{"data":{"ips":["1.2.3.4"]}}]`},
		{"allow_ips", `{"ips":["10.0.0.0/8","::1"],"accountIds":["1"]}`, `POST /whitelistIPs {"accountIds":["1"],"data":{"ips":["10.0.0.0/8","::1"]}}`},
	} {
		far.asked = nil
		if _, err := do(t, source, tt.action, tt.params); err != nil || len(far.asked) != 1 || far.asked[0] != tt.want {
			t.Errorf("%s asked %q, error %v; want %s", tt.action, far.asked, err, tt.want)
		}
	}
	for _, tt := range []struct{ action, params string }{
		{"count_alerts", `{"days":366}`},
		{"count_alerts", `{"days":1,"lastSeenTo":"2026-01-01"}`},
		{"count_alerts", `{"lastSeenFrom":"2026-01-02","lastSeenTo":"2026-01-01"}`},
		{"search", `{"searchKey":"AWS_S4","size":1}`},
		{"vpc_traffic", `{"accountId":"1","vpcId":"v","isPageable":true}`},
		{"vpc_traffic", `{"accountId":"1","vpcId":"v","size":51}`},
		{"scan_iac", `{"files":[]}`},
		{"scan_iac", `{"files":[{"name":"a","base64":"%"}]}`},
		{"alert_on_outbound_ips", `{"ips":["10.0.0.0/8"]}`},
		{"allow_ips", `{"ips":["example.com"]}`},
	} {
		far.asked = nil
		if _, err := do(t, source, tt.action, tt.params); hub.KindOf(err) != hub.Invalid || len(far.asked) > 0 {
			t.Errorf("%s %s: %v after %q, want it refused before the call", tt.action, tt.params, err, far.asked)
		}
	}
}

// gather pulls once.
func gather(t *testing.T, s *Source, cursor []byte) (connectors.Page, []byte) {
	t.Helper()
	var all connectors.Page
	err := s.Pull(context.Background(), cursor, func(p connectors.Page, next []byte) error {
		all.Findings, all.Rejects = append(all.Findings, p.Findings...), append(all.Rejects, p.Rejects...)
		all.Nodes, all.Edges = append(all.Nodes, p.Nodes...), append(all.Edges, p.Edges...)
		cursor = next
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, cursor
}

// TestScans follows scans over a restart until their results are findings.
func TestScans(t *testing.T) {
	answers := map[string]string{
		"/alerts/count": `{"total":0}`, "/accounts": "[]", "/iac/scan": `{"scan_id":"s1"}`, "/image-scanning/submit-for-scan/by-image-name": `{"taskId":"t1"}`,
		"/image-scanning/get-scan-result": `{"status":"submitted"}`, "/iac/scan/status": `{"processing_ongoing":true}`,
	}
	_, source := scripted(t, answers)
	for action, params := range map[string]string{"scan_images_by_name": `{"repoURL":"r","imageNames":"a"}`, "scan_iac": `{"files":[{"name":"a","content":"b"}],"repo_url":"r"}`} {
		if _, err := do(t, source, action, params); err != nil {
			t.Fatal(err)
		}
	}
	page, cursor := gather(t, source, nil)
	if len(page.Findings) != 0 || !strings.Contains(source.Describe(cursor), "2 scans awaited") {
		t.Errorf("%d findings; %s", len(page.Findings), source.Describe(cursor))
	}
	answers["/image-scanning/get-scan-result"] = `{"status":"complete","scanResult":[{"fullTag":"d/a:1","registry":"d","vulnerabilities":{"high":2}}]}`
	answers["/iac/scan/status"] = `{"processing_ongoing":false,"success":true}`
	answers["/iac/scan/detailedReport"] = `{"alerts":[{"alertSummary":"Open","criticalLevel":"LOW","alertDetails":"x"}]}`
	_, again := scripted(t, answers)
	page, cursor = gather(t, again, cursor)
	if len(page.Findings) != 2 || len(page.Rejects) != 0 || strings.Contains(again.Describe(cursor), "awaited") {
		t.Errorf("got %+v, %s", page, again.Describe(cursor))
	}
}

func TestScanThatFailed(t *testing.T) {
	answers := map[string]string{
		"/alerts/count": `{"total":0}`, "/accounts": "[]", "/iac/scan": `{"scan_id":"s1"}`,
		"/iac/scan/status": `{"processing_ongoing":false,"success":false,"error":"no template"}`,
	}
	_, source := scripted(t, answers)
	if _, err := do(t, source, "scan_iac", `{"files":[{"name":"a","content":"b"}]}`); err != nil {
		t.Fatal(err)
	}
	page, _ := gather(t, source, nil)
	if len(page.Rejects) != 1 || !strings.Contains(page.Rejects[0].Error, "no template") {
		t.Errorf("rejects: %+v", page.Rejects)
	}
}

// TestInventory reads one of each thing.
func TestInventory(t *testing.T) {
	far, source := scripted(t, map[string]string{
		"/alerts/count": `{"total":0}`,
		"/accounts":     `[{"accountId":"1","accountType":"AWS","name":"Prod","tags":["a"],"subAccounts":["2"]}]`,
		"/vms":          `{"data":[{"accountType":"AWS","accountId":1,"instanceId":"i-1","moreInfo":{"region":"eu-west-1","vpcId":"vpc-1","tags":"{\"Name\":\"web\"}","networkInterfaces":[{"publicIP":"1.2.3.4"}]}},{"moreInfo":7}]}`,
		"/users":        `{"data":[{"accountType":"AWS","accountId":"1","name":"ann","moreInfo":{"arn":"arn:aws:iam::1:user/ann"}}]}`,
		"/serverless":   `{"data":[{"accountType":"AWS","accountId":"1","functionName":"f","region":"eu-west-1"}]}`,
		"/containers":   `{"data":[{"accountType":"AWS","accountId":"1","objectId":"o","name":"n","moreInfo":{"nodeName":"n9","vmId":"i-1"}}]}`,
	})
	page, _ := gather(t, source, nil)
	var got []string
	for _, n := range page.Nodes {
		got = append(got, string(n.Kind)+" "+n.Type+" "+n.Keys[0]+" "+n.Name)
	}
	for _, e := range page.Edges {
		got = append(got, e.From+" "+e.Kind+" "+e.To)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"account cloud_account 1 Prod", "1 contains 2", "asset vm i-1 web", "1.2.3.4 exposes i-1", "vpc-1 contains i-1", "user user arn:aws:iam::1:user/ann ann",
		"arn:aws:iam::1:user/ann can_access 1", "asset function cloudoptix:function:1:eu-west-1:f f", "asset kubernetes_pod cloudoptix:pod:o n",
		"cloudoptix:node:o runs_on i-1", "cloudoptix:node:1:n9 runs cloudoptix:pod:o", "1 contains cloudoptix:cluster:o",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	asked := strings.Join(far.asked, "\n")
	for _, want := range []string{"GET /vms?page=0&provider=AWS&size=500", "GET /containers?cloudProvider=eks&containerType=nodes&page=0&size=500"} {
		if !strings.Contains(asked, want) || strings.Contains(asked, "Azure") {
			t.Errorf("asked %s", asked)
		}
	}
}

// TestRefusals has every text of the document.
func TestRefusals(t *testing.T) {
	for text, want := range map[string]struct {
		kind  hub.Kind
		words string
	}{
		"ApiKey not provided":                             {hub.Unauthorized, "Authorization header"},
		"Unauthorized access or ApiKey expired":           {hub.Unauthorized, "generate a new one"},
		"Api Key Not Valid":                               {hub.Unauthorized, "api_key"},
		"Unable to retrieve user":                         {hub.Unauthorized, "new one"},
		"Account Ids [12, 13] not found":                  {hub.Invalid, "account_ids"},
		"Alert Type not supported":                        {hub.Invalid, "GuardDuty"},
		"Provider Type not supported":                     {hub.Invalid, "case-sensitive"},
		"Provider type not supported":                     {hub.Invalid, "case-sensitive"},
		"Provider GCP not supported":                      {hub.NotFound, "nothing of this sort"},
		"Provider not provided.":                          {hub.Invalid, "native"},
		"Container-Type not provided.":                    {hub.Invalid, "clusters"},
		"Invalid Container-Type:vats":                     {hub.Invalid, "clusters"},
		"Data object invalid":                             {hub.Invalid, "IP address"},
		"Invalid data":                                    {hub.Invalid, "VPC"},
		"Unable to find the scan you requested":           {hub.NotFound, "submit it again"},
		"Proper arguments not provided":                   {hub.Invalid, "parameter"},
		"Page number should be greater than 0":            {hub.Invalid, "start with 1"},
		"Pageable size cannot be less than 100":           {hub.Invalid, "100 at least"},
		"Pageable size cannot be greater than 50":         {hub.Invalid, "50 at most"},
		"Days cannot be less than 1 and greater than 365": {hub.Invalid, "1 to 365"},
		"Can only set one of the filters: set 'days' or else set lastSeenFrom/lastSeenTo":     {hub.Invalid, "not both"},
		"Date in 'lastSeenTo' is not in proper format It accepts formats described":           {hub.Invalid, "written like"},
		"Invalid Date format for both lastSeenFrom/lastSeenTo":                                {hub.Invalid, "written like"},
		"Parameter ‘lastSeenTo’ should come after ‘lastSeenFrom’":                             {hub.Invalid, "later"},
		"Retry using parameters timeFrom and timeTo or limited range for timeFrom and timeTo": {hub.Invalid, "shorter span"},
		"Provider:eks not supported for Container-Type:clusters":                              {hub.NotFound, "no such containers"},
		"something that the document does not have":                                           {hub.Invalid, "refused"},
	} {
		for _, body := range []string{`{"message":"` + text + `"}`, `{"errorMessage":"` + text + `"}`, text} {
			got := explain(connectors.Call{}, 400, []byte(body))
			if got == nil || got.Kind != want.kind || !strings.Contains(got.Msg, want.words) {
				t.Errorf("%s: %v, want %s with %q", body, got, want.kind, want.words)
			}
		}
	}
	for status, kind := range map[int]hub.Kind{401: hub.Unauthorized, 403: hub.Forbidden, 404: hub.NotFound} {
		if got := explain(connectors.Call{Path: "/x"}, status, nil); got == nil || got.Kind != kind {
			t.Errorf("%d: %v", status, got)
		}
	}
}

package cloudoptix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A clock stands still until it is moved.
type clock struct{ now time.Time }

func kind(c *clock, o Options) *Sim {
	o.Kind, o.Now = true, func() time.Time { return c.now }
	return New(o)
}

func start() *clock { return &clock{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)} }

func ask(s http.Handler, method, target, body string) (int, string) {
	r := httptest.NewRequest(method, "/api/v1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "ApiKey "+DefaultKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestRefusals has every text of the document that a request can bring about.
func TestRefusals(t *testing.T) {
	const form = "It accepts formats described by the following syntax"
	s := kind(start(), Options{PerMinute: 10_000})
	s.AddTraffic("i-0a1b2c3d4e5f60001", maxFlows+1)
	for _, tt := range []struct {
		method, target, body, want string
		status                     int
		faulty                     bool // the caller's fault
	}{
		{"GET", "/alerts?page=1&lastSeenTo=2026-01-31T12:00:00Z", "", "Date in 'lastSeenTo' is not in proper format " + form, 400, true},
		{"GET", "/alerts/count?lastSeenFrom=yesterday", "", "Date in 'lastSeenFrom' is not in proper format " + form, 400, true},
		{"GET", "/alerts/count?lastSeenFrom=2026-01-01T00:00:00+01:00", "", "Date in 'lastSeenFrom'", 400, true}, // the plus was not escaped
		{"GET", "/alerts/count?lastSeenFrom=a&lastSeenTo=b", "", "Invalid Date format for both lastSeenFrom/lastSeenTo", 400, true},
		{"GET", "/alerts/count?lastSeenFrom=2026-01-02&lastSeenTo=2026-01-01", "", "Parameter ‘lastSeenTo’ should come after ‘lastSeenFrom’", 400, true},
		{"GET", "/alerts/count?days=0", "", "Days cannot be less than 1 and greater than 365", 400, true},
		{"GET", "/alerts/count?days=366", "", "Days cannot be less than 1 and greater than 365", 400, true},
		{"GET", "/alerts/count?days=1&lastSeenTo=2026-01-01", "", "Can only set one of the filters: set 'days' or else set lastSeenFrom/lastSeenTo", 400, true},
		{"GET", "/alerts/count?alertType=policy", "", "Alert Type not supported", 400, true},
		{"GET", "/alerts/count?providerList=AWS,GCP", "", "Provider Type not supported", 400, true},
		{"GET", "/alerts/count?accountIds=99", "", "Account Ids 99 not found", 400, false},
		{"GET", "/alerts?page=1&size=51", "", "Pageable size cannot be greater than 50", 400, true},
		{"GET", "/alerts?size=50", "", "Page number should be greater than 0", 400, true},
		{"GET", "/alert", "", "No message available", 404, true},
		{"POST", "/alerts", "", "No message available", 404, true},
		{"GET", "/search/AWS_S4?size=1", "", "No message available", 404, true},
		{"GET", "/search/AWS_S3", "", "Proper arguments not provided", 400, true},
		{"POST", "/image-scanning/submit-for-scan", "", "Proper arguments not provided", 400, true},
		{"POST", "/image-scanning/submit-for-scan/by-image-name?repoURL=r", "", "Proper arguments not provided", 400, true},
		{"GET", "/image-scanning/get-scan-result?taskId=none", "", "Proper arguments not provided", 400, false},
		{"GET", "/image-scanning/get-scan-result", "", "Proper arguments not provided", 400, true},
		{"GET", "/image-scanning/container-scan-result", "", "Proper arguments not provided", 400, true},
		{"GET", "/iac/scan/status", "", "Unable to find the scan you requested", 400, true},
		{"GET", "/iac/scan/detailedReport?scan_id=", "", "Unable to find the scan you requested", 400, true},
		{"GET", "/iac/scan/status?scan_id=none", "", "Unable to find the scan you requested", 400, false},
		{"GET", "/iac/scan/detailedReport?scan_id=none", "", "Unable to find the scan you requested", 400, false},
		{"GET", "/outgoingtraffic/vpc?accountId=1", "", "Invalid data", 400, true},
		{"GET", "/outgoingtraffic/instance?instanceId=i-2", "", "Invalid data", 400, false},
		{"GET", "/outgoingtraffic/instance?instanceId=i-2&isPageable=true&page=0", "", "Page number should be greater than 0", 400, true},
		{"GET", "/outgoingtraffic/instance?instanceId=i-2&isPageable=true&page=1&size=51", "", "Pageable size cannot be greater than 50", 400, true},
		{"GET", "/outgoingtraffic/instance?instanceId=i-2&timeTo=x", "", "Date in 'timeTo' is not in proper format", 400, true},
		{"GET", "/outgoingtraffic/instance?instanceId=i-2&timeFrom=2026-01-02&timeTo=2026-01-01", "", "Parameter ‘timeTo’ should come after ‘timeFrom’", 400, true},
		{"GET", "/outgoingtraffic/instance?instanceId=i-0a1b2c3d4e5f60001", "", "Retry using parameters timeFrom and timeTo", 400, false},
		{"POST", "/outboundtraffic/ipList", `[{"data":{"ips":["10.0.0.0/8"]}}]`, "Data object invalid", 400, true},
		{"POST", "/outboundtraffic/ipList", `{"data":{"ips":["10.0.0.1"]}}`, "Data object invalid", 400, true},
		{"POST", "/outboundtraffic/ipList", `[{"accountIds":["9"],"data":{"ips":["10.0.0.1"]}}]`, "Account Ids 9 not found", 400, false},
		{"POST", "/whitelistIPs", `[{"data":{"ips":["10.0.0.0/8"]}}]`, "Data object invalid", 400, true},
		{"POST", "/whitelistIPs", `{"data":{"ips":["example.com"]}}`, "Data object invalid", 400, true},
		{"GET", "/accounts?provider=aws", "", `{"errorMessage":"Provider type not supported"}`, 400, true},
		{"GET", "/vms?provider=Docker&size=100", "", `{"errorMessage":"Provider type not supported"}`, 400, true},
		{"GET", "/vms?provider=AWS&size=501", "", "Pageable size cannot be greater than 500", 400, true},
		{"GET", "/users?provider=AWS&size=99", "", "Pageable size cannot be less than 100", 400, true},
		{"GET", "/users?provider=AWS", "", "Pageable size cannot be less than 100", 400, true},
		{"GET", "/users?provider=AWS&size=100&accountIds=9", "", "Account Ids 9 not found", 400, false},
		{"GET", "/serverless?provider=GCP&size=100", "", "Provider GCP not supported", 400, true},
		{"GET", "/serverless?provider=AWS&size=100&page=-1", "", "Page number should be greater than 0", 400, true},
		{"GET", "/containers?containerType=pods&size=100", "", "Provider not provided.", 400, true},
		{"GET", "/containers?cloudProvider=eks&size=100", "", "Container-Type not provided.", 400, true},
		{"GET", "/containers?cloudProvider=eks&containerType=vats&size=100", "", "Invalid Container-Type:vats", 400, true},
		{"GET", "/containers?cloudProvider=ecs&containerType=pods&size=100", "", "Provider:ecs not supported for Container-Type:pods", 400, true},
		{"GET", "/containers?cloudProvider=native&containerType=clusters&size=100", "", "Provider:native not supported for Container-Type:clusters", 400, false},
	} {
		before := len(s.Violations())
		status, body := ask(s, tt.method, tt.target, tt.body)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %s; want %d with %q", tt.method, tt.target, status, body, tt.status, tt.want)
		}
		if judged := len(s.Violations()) > before; judged != tt.faulty {
			t.Errorf("%s %s: held against the caller: %v, want %v", tt.method, tt.target, judged, tt.faulty)
		}
	}
}

func TestKey(t *testing.T) {
	s := kind(start(), Options{})
	for _, tt := range []struct {
		header, path, want string
		status             int
	}{
		{"", "/alerts/count", noKey, 400},
		{"Bearer " + DefaultKey, "/alerts/count", noKey, 400},
		{"ApiKey ", "/vms?provider=AWS&size=100", noKey, 400},
		{"ApiKey wrong", "/alerts/count", badKey, 401},
		{"ApiKey wrong", "/containers", "Api Key Not Valid", 401},
		{"ApiKey " + DefaultKey, "/alerts/count", `"total":0`, 200},
	} {
		r := httptest.NewRequest("GET", "/api/v1"+tt.path, nil)
		r.Header.Set("Authorization", tt.header)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%q at %s: %d %s; want %d %s", tt.header, tt.path, w.Code, w.Body, tt.status, tt.want)
		}
	}
	s.Refuse(true)
	if status, _ := ask(s, "GET", "/alerts/count", ""); status != 401 {
		t.Errorf("an expired key got %d", status)
	}
	s.Refuse(false)
	s.Orphan(true)
	if status, body := ask(s, "GET", "/image-scanning/get-scan-result?taskId=1", ""); status != 400 || !strings.Contains(body, noUser) {
		t.Errorf("a key without a customer got %d %s", status, body)
	}
}

func TestAlerts(t *testing.T) {
	c := start()
	s := kind(c, Options{})
	for range 60 {
		c.now = c.now.Add(time.Minute)
		s.AddAlert(Alert{Level: "HIGH"})
	}
	old := s.Alerts()[0]
	c.now = c.now.Add(time.Minute)
	s.SetLevel(old.ID, "CRITICAL")
	s.Suppress(s.Alerts()[1].ID, true)
	for query, want := range map[string]string{
		"": `{"critical":1,"high":59,"low":0,"medium":0,"total":60}`, "?states=SUPPRESS": `"total":1}`, "?states=OPEN,SUPPRESS": `"total":60}`,
		"?lastSeenFrom=2026-01-31T13:01:00": `{"critical":1,"high":0,"low":0,"medium":0,"total":1}`, "?alertType=Anomaly": `"total":0}`,
		"?lastSeenFrom=2026-01-31T13:00:00%2B00:00&lastSeenTo=2026-01-31T14:01:00%2B01:00": `{"critical":0,"high":1,`,
		"?days=1&providerList=AWS,Azure&accountIds=" + DefaultAccount:                      `"total":60}`, "?providerList=Azure": `"total":0}`,
	} {
		if status, body := ask(s, "GET", "/alerts/count"+query, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("count%s: %d %s, want %s", query, status, body, want)
		}
	}
	var p struct {
		Data        []Alert
		CurrentPage int
		HasNext     bool
		HasPrevious bool
		TotalPages  int
		Size        int
	}
	for page, want := range map[int]string{1: "50 true false", 2: "10 false true", 3: "0 false true"} {
		_, body := ask(s, "GET", fmt.Sprintf("/alerts?page=%d&size=50", page), "")
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(len(p.Data), p.HasNext, p.HasPrevious); got != want || p.TotalPages != 2 || p.CurrentPage != page || p.Size != 50 {
			t.Errorf("page %d: %s of %d, want %s", page, got, p.TotalPages, want)
		}
		if page == 1 && p.Data[0].ID != old.ID {
			t.Errorf("first is %d, want %d, which was seen last", p.Data[0].ID, old.ID)
		}
	}
	if _, body := ask(s, "GET", "/alerts?page=1&severity=critical", ""); strings.Count(body, `"alertId"`) != 1 {
		t.Errorf("critical ones: %s", body)
	}
	if a := s.Alerts()[1]; a.State != "SUPPRESS" || a.LastActionTime == nil || a.LastSeen != a.FirstSeen {
		t.Errorf("a suppressed alert: %+v", a)
	}
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestInventoryPages(t *testing.T) {
	s := kind(start(), Options{})
	for i := range 150 {
		s.Put("vms", Machine(fmt.Sprintf("i-%d", i), DefaultAccount, ""))
	}
	for target, want := range map[string]string{
		"/vms?provider=AWS&size=100":                                `"currentPage":0,"data":[`,
		"/vms?provider=AWS&size=100&page=1":                         `"hasNext":false,"hasPrevious":true,"size":100,"totalPages":2`,
		"/users?provider=GCP&size=500":                              `"primaryEmail":"Bob@example.com"`,
		"/accounts":                                                 `"accountType":"Kubernetes"`,
		"/accounts?provider=AWS&accountIds=123456789012":            `[{"accountId":"123456789012"`,
		"/serverless?provider=Azure&size=100":                       `"functionName":"mailer"`,
		"/containers?cloudProvider=gke&containerType=pods&size=100": `"nodeName":"node-1"`,
		"/search/AWS_HOST?size=10&filters=instanceId=i-7,i-8":       `"totalPages":1`,
	} {
		if status, body := ask(s, "GET", target, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s, want %s", target, status, body, want)
		}
	}
	if _, body := ask(s, "GET", "/vms?provider=AWS&size=100&page=x", ""); !strings.Contains(body, `"currentPage":0`) || len(s.Violations()) != 1 {
		t.Errorf("a page that is none: %.100s, %v", body, s.Violations())
	}
}

// TestSearch looks for things by term and by filters.
func TestSearch(t *testing.T) {
	s := kind(start(), Options{})
	s.AddAlert(Alert{ID: 1, Summary: "S3 bucket allows public read", Level: "HIGH"})
	s.AddAlert(Alert{ID: 2, Summary: "Root account has no MFA", Level: "LOW", AccountID: AzureAccount, Provider: "Azure"})
	s.AddAlert(Alert{ID: 3, Summary: "EBS volume is not encrypted", Level: "HIGH", State: "SUPPRESS"})
	for _, tt := range []struct {
		key, term, filters string
		want               int
	}{
		{"ALERT", "", "", 3},
		{"ALERT", "", "state=OPEN", 2},
		{"ALERT", "", "state=OPEN;criticalLevel=HIGH,MEDIUM", 1},
		{"ALERT", "", "id=1,3", 2},
		{"ALERT", "", "nothing=1", 0},
		{"ALERT", "criticalLevel:high", "", 2},
		{"ALERT", "criticalLevel:high state:open", "", 1},
		{"ALERT", "criticalLevel:high and alertSummary:s3*", "", 1},
		{"ALERT", "state:SUPPRESS or provider:azure", "", 2},
		{"ALERT", "*encrypted*", "", 1},
		{"ALERT", "ruleResult.severity:low", "", 1},
		{"ALERT", "provider:Azure", "state=SUPPRESS", 0},
		{"AWS_HOST", "tags.name:host-*", "", 1},
		{"AWS_HOST", "isPublic:true", "runningState=running", 1},
		{"AWS_HOST", "isPublic:false", "", 0},
		{"AZURE_HOST", "instanceId:/subscriptions/*", "", 1},
		{"NATIVE_POD", "namespace:shop", "", 1},
		{"GCP_NODE", "", "", 1},
		{"AWS_S3", "", "", 0},
	} {
		q := url.Values{"size": {"50"}}
		if tt.term != "" {
			q.Set("searchTerm", tt.term)
		}
		if tt.filters != "" {
			q.Set("filters", tt.filters)
		}
		status, body := ask(s, "GET", "/search/"+tt.key+"?"+q.Encode(), "")
		var p struct{ Data []any }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 200 || len(p.Data) != tt.want {
			t.Errorf("%s with %q and %q: %d found, %d %v; want %d", tt.key, tt.term, tt.filters, len(p.Data), status, err, tt.want)
		}
	}
	if v := s.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
	if ask(s, "GET", "/search/ALERT?size=1&filters=state", ""); len(s.Violations()) != 1 {
		t.Errorf("a filter without a value: %v", s.Violations())
	}
}

// TestUndocumented asks each path for something that the document does not have:
// it is answered, and held against the caller.
func TestUndocumented(t *testing.T) {
	s := kind(start(), Options{PerMinute: 10_000})
	for _, target := range []string{
		"/alerts/count?since=1", "/alerts/count?severity=low", "/alerts?page=1&sort=id", "/search/ALERT?size=1&query=x",
		"/image-scanning/get-scan-result?taskId=1&id=1", "/image-scanning/container-scan-result?container=a&image=a",
		"/iac/scan/status?scan_id=1&x=1", "/iac/scan/detailedReport?scan_id=1&x=1", "/outgoingtraffic/vpc?accountId=1&vpcId=2&port=443",
		"/outgoingtraffic/instance?instanceId=i&port=443", "/accounts?page=0", "/vms?provider=AWS&size=100&region=x", "/users?provider=AWS&size=100&name=x",
		"/serverless?provider=AWS&size=100&name=x", "/containers?cloudProvider=eks&containerType=pods&size=100&provider=AWS",
		"/alerts/count?days=1&days=2", "/alerts/count?states=", "/alerts/count?states=CLOSED", "/alerts/count?policyTagList=ISO", "/alerts?page=1&severity=info",
	} {
		before := len(s.Violations())
		if status, body := ask(s, "GET", target, ""); status == 404 || status >= 500 || len(s.Violations()) != before+1 {
			t.Errorf("%s: %d %.100s; %d held against the caller, want 1", target, status, body, len(s.Violations())-before)
		}
	}
	before := len(s.Violations())
	submit(s, "/iac/scan", map[string]string{"tags": "x"}, map[string]string{"a.tf": "b"})
	ask(s, "POST", "/whitelistIPs", `{"data":{"ips":["10.0.0.1"]},"comment":"x"}`)
	if n := len(s.Violations()) - before; n != 2 {
		t.Errorf("an unknown field in a form and one in a body: %d held against the caller", n)
	}
}

// TestTrouble asks a simulator that nobody has told to be kind.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{PerMinute: 1 << 30})
		seen := map[string]int{}
		for range 1000 {
			time.Sleep(time.Minute) // behind whatever Retry-After said
			seen[answered(s)]++
		}
		for _, what := range []string{"200", "429 Retry-After", "500", "502", "503", "cut"} {
			if seen[what] == 0 {
				t.Errorf("of a thousand requests none was answered with %s: %v", what, seen)
			}
		}
		if v := s.Violations(); len(v) > 0 || seen["200"] < 700 {
			t.Errorf("%v; violations %v", seen, v)
		}
	})
}

// answered asks for a count, and says how that was answered.
func answered(s *Sim) (how string) {
	defer func() {
		if recover() != nil {
			how = "cut"
		}
	}()
	r := httptest.NewRequest("GET", "/api/v1/alerts/count", nil)
	r.Header.Set("Authorization", "ApiKey "+DefaultKey)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if how = fmt.Sprint(w.Code); w.Header().Get("Retry-After") != "" {
		how += " Retry-After"
	}
	return how
}

func submit(s *Sim, path string, fields, files map[string]string) (int, string) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, value := range fields {
		form.WriteField(name, value)
	}
	for name, content := range files {
		part, _ := form.CreateFormFile("files", name)
		part.Write([]byte(content))
	}
	form.Close()
	r := httptest.NewRequest("POST", "/api/v1"+path, &b)
	r.Header.Set("Authorization", "ApiKey "+DefaultKey)
	r.Header.Set("Content-Type", form.FormDataContentType())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestImageScan(t *testing.T) {
	c := start()
	s := kind(c, Options{Quota: 3})
	s.SetImage("acme/web:1", Found{High: 2})
	fields := map[string]string{"repo_url": "https://git.example/shop", "branch": "main"}
	files := map[string]string{"Dockerfile": "FROM acme/web:1\n", "k8s.yaml": "  image: 'acme/db:2'\n"}
	if status, body := submit(s, "/image-scanning/submit-for-scan", map[string]string{"repo_url": "r"}, files); status != 400 {
		t.Errorf("without a branch: %d %s", status, body)
	}
	_, body := submit(s, "/image-scanning/submit-for-scan", fields, files)
	_, again := submit(s, "/image-scanning/submit-for-scan", fields, files)
	var one, two struct {
		TaskID    string
		Duplicate bool
	}
	json.Unmarshal([]byte(body), &one)
	json.Unmarshal([]byte(again), &two)
	if one.TaskID == "" || one.Duplicate || two.TaskID != one.TaskID || !two.Duplicate {
		t.Errorf("submitted: %s, then %s", body, again)
	}
	if _, body := ask(s, "GET", "/image-scanning/get-scan-result?taskId="+one.TaskID, ""); !strings.Contains(body, `"status":"submitted"`) {
		t.Errorf("at once: %s", body)
	}
	if _, body := ask(s, "GET", "/image-scanning/container-scan-result?container=acme/web:1", ""); !strings.Contains(body, `"success":false`) {
		t.Errorf("image that is not analyzed: %s", body)
	}
	c.now = c.now.Add(time.Minute)
	_, body = ask(s, "GET", "/image-scanning/get-scan-result?taskId="+one.TaskID, "")
	for _, want := range []string{`"status":"complete"`, `"high":2`, `"filesScanned":2`, `"isSecure":true`, `"files":["k8s.yaml"]`, `"completedAt":"2026-01-31T12:00:20.000Z"`} {
		if !strings.Contains(body, want) {
			t.Errorf("result lacks %s: %s", want, body)
		}
	}
	if _, body := ask(s, "GET", "/image-scanning/container-scan-result?container=acme/web:1", ""); !strings.Contains(body, `"success":true`) {
		t.Errorf("image that is analyzed: %s", body)
	}
	if _, body := ask(s, "POST", "/image-scanning/submit-for-scan/by-image-name?repoURL=r&imageNames=a:1,b:2", ""); !strings.Contains(body, `"quotaFull":true`) {
		t.Errorf("two images with room for one: %s", body)
	}
}

func TestTemplateScan(t *testing.T) {
	c := start()
	s := kind(c, Options{})
	files := map[string]string{"main.tf": `acl = "public-read" cidr = "0.0.0.0/0"`}
	status, body := submit(s, "/iac/scan", map[string]string{"async": "false"}, files)
	if status != 200 || !strings.Contains(body, `"num_critical_alerts":1,"num_high_alerts":1`) {
		t.Errorf("synchronous: %d %s", status, body)
	}
	if status, _ := submit(s, "/iac/scan", map[string]string{"save_results_to_account": "true"}, files); status != 400 {
		t.Errorf("results saved without a repository: %d", status)
	}
	_, body = submit(s, "/iac/scan", nil, files)
	var in struct {
		ID string `json:"scan_id"`
	}
	if json.Unmarshal([]byte(body), &in); in.ID == "" || strings.Contains(body, "summary") {
		t.Fatalf("asynchronous: %s", body)
	}
	before := len(s.Violations())
	if status, _ := ask(s, "GET", "/iac/scan/detailedReport?scan_id="+in.ID, ""); status != 400 || len(s.Violations()) == before {
		t.Errorf("a report before it was there: %d", status)
	}
	c.now = c.now.Add(time.Minute)
	if _, body := ask(s, "GET", "/iac/scan/status?scan_id="+in.ID, ""); !strings.Contains(body, `"processing_ongoing":false,"success":true`) {
		t.Errorf("status: %s", body)
	}
	if _, body := ask(s, "GET", "/iac/scan/detailedReport?scan_id="+in.ID, ""); strings.Count(body, "alertSummary") != 2 {
		t.Errorf("report: %s", body)
	}
}

func TestAddresses(t *testing.T) {
	s := kind(start(), Options{})
	if status, body := ask(s, "POST", "/outboundtraffic/ipList", `[{"data":{"ips":["198.51.100.7"]}}]`); status != 200 || body != "" {
		t.Errorf("outbound: %d %s", status, body)
	}
	if _, body := ask(s, "POST", "/whitelistIPs", `{"accountIds":["`+DefaultAccount+`"],"data":{"ips":["10.0.0.0/8"]}}`); !strings.Contains(body, `"accountId":"123456789012"`) {
		t.Errorf("allowed: %s", body)
	}
	if out, in := s.IPs(); fmt.Sprint(out, in) != "[198.51.100.7] [10.0.0.0/8]" {
		t.Errorf("lists are %v %v", out, in)
	}
}

func TestLimit(t *testing.T) {
	c := start()
	s := kind(c, Options{PerMinute: 2})
	for i, want := range []int{200, 200, 429} {
		r := httptest.NewRequest("GET", "/api/v1/alerts/count", nil)
		r.Header.Set("Authorization", "ApiKey "+DefaultKey)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want || want == 429 && w.Header().Get("Retry-After") != "60" {
			t.Errorf("request %d: %d %v", i, w.Code, w.Header())
		}
	}
	c.now = c.now.Add(30 * time.Second)
	if status, _ := ask(s, "GET", "/alerts/count", ""); status != 429 || len(s.Violations()) != 1 {
		t.Errorf("too early: %d, %v", status, s.Violations())
	}
	c.now = c.now.Add(31 * time.Second)
	if status, _ := ask(s, "GET", "/alerts/count", ""); status != 200 {
		t.Errorf("a minute later: %d", status)
	}
}

func TestSteering(t *testing.T) {
	s := New(Options{Options: unkind.Options{Seed: 1}})
	steer := func(method, path, body string) int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, "/_sim/"+path, strings.NewReader(body)))
		return w.Code
	}
	if steer("POST", "alerts", `{"count":3,"alert":{"id":7}}`) != 201 || len(s.Alerts()) != 4 {
		t.Fatal("no alerts")
	}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "see", `{"id":7}`, 200},
		{"POST", "level", `{"id":7,"level":"LOW"}`, 200},
		{"POST", "rate", `{"id":7,"level":"LOW"}`, 200},
		{"POST", "suppress", `{"id":7}`, 200},
		{"POST", "suppress", `{"id":8}`, 404},
		{"POST", "things", `{"list":"vms","thing":{"instanceId":"i-9"}}`, 200},
		{"POST", "remove", `{"list":"vms","id":"i-9"}`, 200},
		{"POST", "remove", `{"list":"vms","id":"i-9"}`, 404},
		{"PUT", "image", `{"name":"a:1","high":1}`, 200},
		{"PUT", "scans", `{"fail":true}`, 200},
		{"PUT", "quota", `{"left":0}`, 200},
		{"POST", "traffic", `{"count":1,"instance_id":"i"}`, 200},
		{"PUT", "key", `{"refused":true}`, 200},
		{"GET", "ips", "", 200},
		{"GET", "alerts", "", 200},
		{"GET", "violations", "", 200},
		{"GET", "nothing", "", 404},
		{"PUT", "quota", `{"rest":0}`, 400},
	} {
		if got := steer(tt.method, tt.path, tt.body); got != tt.want {
			t.Errorf("%s %s %s: %d, want %d", tt.method, tt.path, tt.body, got, tt.want)
		}
	}
	if a := s.Alerts()[3]; a.State != "SUPPRESS" || a.Level != "LOW" {
		t.Errorf("the alert is %+v", a)
	}
}

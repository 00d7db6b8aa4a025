package cloudoptix

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// An Alert is one of Cloud Optix, as the document shows it.
type Alert struct {
	ID             int64       `json:"id"`
	AccountID      string      `json:"accountId"`
	AccountName    string      `json:"accountName"`
	Type           string      `json:"alertType"` // Policy, Anomaly or GuardDuty
	Summary        string      `json:"alertSummary"`
	Level          string      `json:"criticalLevel"` // CRITICAL, HIGH, MEDIUM or LOW
	URL            string      `json:"url"`
	AlertID        string      `json:"alertId"`
	Policy         string      `json:"policyLabel"`
	Details        string      `json:"alertDetails"`
	FirstSeen      int64       `json:"firstSeen"` // milliseconds
	LastSeen       int64       `json:"lastSeen"`
	Score          int         `json:"score"`
	State          string      `json:"state"` // OPEN or SUPPRESS
	LastAction     string      `json:"lastAction"`
	LastActionTime *string     `json:"lastActionTime"`
	JiraID         *string     `json:"jiraId"`
	Provider       string      `json:"provider"`
	Result         *RuleResult `json:"ruleResult"`
}

// A RuleResult is what the rule of a policy found.
type RuleResult struct {
	Resources []Resource `json:"affectedResources"`
	Severity  string     `json:"severity"`
	Prefix    *string    `json:"resultprefix"`
	Order     int        `json:"displayOrder"`
	ControlID int        `json:"controlId"`
	Control   string     `json:"controlIdDesc"`
}

// A Resource is one that an alert is about.
type Resource struct {
	ID        int64           `json:"id"`
	Name      string          `json:"affectedResource"`
	Data      json.RawMessage `json:"dataMap"`
	State     string          `json:"state"`
	Status    *string         `json:"status"`
	Suppress  *string         `json:"suppressionType"`
	FirstSeen int64           `json:"firstSeen"`
}

var (
	alertTypes = []string{"Policy", "Anomaly", "GuardDuty"}
	clouds     = []string{"AWS", "Azure"}
	tags       = []string{
		"Avid", "CIS", "FFIEC", "HIPAA", "ISO 27001", "PCI", "SOC2", "SOC2-TSP", "FEDRAMP-LOW", "FEDRAMP-MODERATE", "FEDRAMP-HIGH", "EBU R143",
	}
	levels = []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}
	states = []string{"OPEN", "SUPPRESS"}
)

var filterNames = []string{"days", "alertType", "providerList", "policyTagList", "accountIds", "lastSeenFrom", "lastSeenTo", "states"}

// timeForms are what [date-element] 'T' [time-element] [offset] allows.
var timeForms = []string{"2006-01-02", "2006-01-02T", "2006-01-02T15:04:05", "2006-01-02T15:04:05-07:00", "2006-01-02T-07:00"}

const timeSyntax = "' is not in proper format It accepts formats described by the following syntax: [date-element] 'T' [time-element] [offset]" +
	" where date-element = yyyy-MM-dd and time-element(optional) = HH:mm:ss and offset(optional) = [+/-]hh:mm"

// readTime reads a parameter; ok is false for one of another form.
func readTime(text string) (t time.Time, ok bool) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return t, text == ""
}

// A span is from when to when alerts were seen; the end is not in it.
type span struct{ from, to time.Time }

// spanOf reads two parameters; fault is the document's text for what is wrong.
func spanOf(q url.Values, from, to string) (span, string) {
	a, okA := readTime(q.Get(from))
	b, okB := readTime(q.Get(to))
	switch {
	case !okA && !okB && from == "lastSeenFrom":
		return span{}, "Invalid Date format for both lastSeenFrom/lastSeenTo"
	case !okB:
		return span{}, "Date in '" + to + timeSyntax
	case !okA:
		return span{}, "Date in '" + from + timeSyntax
	case q.Get(from) != "" && q.Get(to) != "" && !b.After(a):
		return span{}, "Parameter ‘" + to + "’ should come after ‘" + from + "’"
	}
	return span{a, b}, ""
}

const year = 365 * 24 * time.Hour

// when reads the three parameters about time.
func (s *Sim) when(q url.Values) (span, string) {
	between, fault := spanOf(q, "lastSeenFrom", "lastSeenTo")
	ranged := q.Get("lastSeenFrom") != "" || q.Get("lastSeenTo") != ""
	days := 365
	if text := q.Get("days"); text != "" {
		var err error
		if days, err = strconv.Atoi(text); err != nil || days < 1 || days > 365 {
			return span{}, "Days cannot be less than 1 and greater than 365"
		}
		if ranged {
			return span{}, "Can only set one of the filters: set 'days' or else set lastSeenFrom/lastSeenTo"
		}
	}
	now := s.Now()
	switch {
	case fault != "":
		return span{}, fault
	case !ranged:
		return span{now.Add(-time.Duration(days) * 24 * time.Hour), now.Add(time.Hour)}, ""
	}
	if between.to.IsZero() {
		between.to = now.Add(time.Hour)
	}
	if between.from.IsZero() {
		between.from = between.to.Add(-year)
	}
	return between, ""
}

// among refuses words of a list that the document does not have.
func among(text string, known []string) bool {
	for _, word := range listed(text) {
		if !slices.Contains(known, word) {
			return false
		}
	}
	return true
}

// chosen gives the alerts that suit the filters; it has answered if ok is false.
// The caller holds the lock.
func (s *Sim) chosen(w http.ResponseWriter, r *http.Request) (some []*Alert, ok bool) {
	q := r.URL.Query()
	between, fault := s.when(q)
	switch {
	case fault != "":
	case !among(q.Get("alertType"), alertTypes) || strings.Contains(q.Get("alertType"), ","):
		fault = "Alert Type not supported"
	case !among(q.Get("providerList"), clouds):
		fault = "Provider Type not supported"
	case len(s.missing(listed(q.Get("accountIds")))) > 0:
		s.refuse(w, r, 400, noAccounts(s.missing(listed(q.Get("accountIds")))))
		return nil, false
	}
	if fault != "" {
		s.wrong(w, r, 400, fault)
		return nil, false
	}
	if !among(q.Get("policyTagList"), tags) || !among(q.Get("states"), states) {
		s.Violate(r, "policyTagList and states take the document's words only")
	}
	severity := q.Get("severity")
	if severity != "" && !slices.Contains(levels, strings.ToUpper(severity)) {
		s.Violate(r, "severity takes the document's words only")
	}
	for _, a := range s.alerts {
		at := time.UnixMilli(a.LastSeen)
		if !at.Before(between.from) && at.Before(between.to) && suits(q.Get("alertType"), a.Type) && suits(q.Get("providerList"), a.Provider) &&
			suits(q.Get("accountIds"), a.AccountID) && suits(q.Get("states"), a.State) && suits(strings.ToUpper(severity), a.Level) &&
			suits(q.Get("policyTagList"), a.Policy) {
			some = append(some, a)
		}
	}
	return some, true
}

func suits(wanted, is string) bool { return wanted == "" || slices.Contains(listed(wanted), is) }

func (s *Sim) countAlerts(w http.ResponseWriter, r *http.Request) {
	s.query(r, filterNames...)
	s.mu.Lock()
	defer s.mu.Unlock()
	some, ok := s.chosen(w, r)
	if !ok {
		return
	}
	n := map[string]int{"critical": 0, "high": 0, "medium": 0, "low": 0, "total": len(some)}
	for _, a := range some {
		n[strings.ToLower(a.Level)]++
	}
	unkind.Answer(w, 200, n)
}

func (s *Sim) listAlerts(w http.ResponseWriter, r *http.Request) {
	s.query(r, append([]string{"severity", "page", "size"}, filterNames...)...)
	page, size, fault := smallPage(r.URL.Query(), true)
	if fault != "" {
		s.wrong(w, r, 400, fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	some, ok := s.chosen(w, r)
	if !ok {
		return
	}
	s.order(some)
	unkind.Answer(w, 200, pageOf(some, page, size, 1))
}

// smallPage reads page and size of the paths whose pages start with 1.
func smallPage(q url.Values, needed bool) (page, size int, fault string) {
	page, size = 1, 20
	var err error
	if text := q.Get("page"); text != "" || needed {
		if page, err = strconv.Atoi(text); err != nil || page < 1 {
			return 0, 0, pageFrom1
		}
	}
	if text := q.Get("size"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > 50 {
			return 0, 0, above50
		}
	}
	return page, size, ""
}

// order sorts alerts as the seed has it.
func (s *Sim) order(some []*Alert) {
	slices.SortStableFunc(some, func(a, b *Alert) int {
		switch s.options.Seed % 3 {
		case 0:
			return cmp.Or(cmp.Compare(b.LastSeen, a.LastSeen), cmp.Compare(b.ID, a.ID))
		case 1:
			return cmp.Or(cmp.Compare(a.LastSeen, b.LastSeen), cmp.Compare(a.ID, b.ID))
		}
		return cmp.Or(cmp.Compare(slices.Index(levels, b.Level), slices.Index(levels, a.Level)), cmp.Compare(b.ID, a.ID))
	})
}

var summaries = map[string][]string{
	"Policy":    {"S3 bucket allows public read", "Security group open to 0.0.0.0/0 on port 22", "Root account has no MFA", "EBS volume is not encrypted"},
	"Anomaly":   {"Unusual login to the console", "Outgoing traffic to an unusual port"},
	"GuardDuty": {"UnauthorizedAccess:EC2/SSHBruteForce", "CryptoCurrency:EC2/BitcoinTool.B"},
}

// Add makes n new open alerts and gives their ids.
func (s *Sim) Add(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		kind := alertTypes[s.IntN(3)]
		words := summaries[kind]
		account, provider := DefaultAccount, "AWS"
		if kind != "GuardDuty" && s.IntN(3) == 0 {
			account, provider = AzureAccount, "Azure"
		}
		ids[i] = s.AddAlert(Alert{
			AccountID: account, Provider: provider, Type: kind, Level: levels[s.IntN(4)], Summary: words[s.IntN(len(words))],
		}).ID
	}
	return ids
}

// AddAlert adds an alert; what is missing is made.
func (s *Sim) AddAlert(a Alert) Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addAlert(a)
}

func (s *Sim) addAlert(a Alert) Alert {
	s.serial++
	now := s.Now().UnixMilli()
	a.ID = cmp.Or(a.ID, int64(4_000_000+s.serial))
	a.AccountID, a.Provider, a.Type = cmp.Or(a.AccountID, DefaultAccount), cmp.Or(a.Provider, "AWS"), cmp.Or(a.Type, "Policy")
	a.AccountName, a.Level, a.State = cmp.Or(a.AccountName, "Account "+a.AccountID), cmp.Or(a.Level, "HIGH"), cmp.Or(a.State, "OPEN")
	a.Summary = cmp.Or(a.Summary, "S3 bucket allows public read")
	a.AlertID = cmp.Or(a.AlertID, fmt.Sprintf("AR-%d", 200+s.serial%50))
	a.URL = cmp.Or(a.URL, fmt.Sprintf("https://optix.example/alerts/%d", a.ID))
	a.FirstSeen = cmp.Or(a.FirstSeen, now)
	a.LastSeen = cmp.Or(a.LastSeen, a.FirstSeen)
	if a.Type == "Policy" && a.Result == nil {
		a.Policy = cmp.Or(a.Policy, tags[s.serial%len(tags)])
		a.Result = &RuleResult{Severity: a.Level, ControlID: s.serial % 90, Control: fmt.Sprintf("%d.%d", 1+s.serial%4, s.serial%20)}
		s.addResource(&a, fmt.Sprintf("resource-%d", s.serial))
	}
	s.alerts = append(s.alerts, &a)
	return a
}

func (s *Sim) addResource(a *Alert, name string) {
	s.serial++
	a.Result.Resources = append(a.Result.Resources, Resource{
		ID: int64(s.serial), Name: name, Data: json.RawMessage(`{}`), State: "OPEN", FirstSeen: s.Now().UnixMilli(),
	})
}

// Alerts gives every alert.
func (s *Sim) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Alert, len(s.alerts))
	for i, a := range s.alerts {
		out[i] = *a
	}
	return out
}

// edit changes an alert; false if there is none.
func (s *Sim) edit(id int64, change func(*Alert)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.alerts, func(a *Alert) bool { return a.ID == id })
	if i < 0 {
		return false
	}
	change(s.alerts[i])
	return true
}

// See is a scan that sees an alert again.
func (s *Sim) See(id int64) bool {
	return s.edit(id, func(a *Alert) { a.LastSeen = s.Now().UnixMilli() })
}

// SetLevel is a scan that finds an alert worse, or not as bad.
func (s *Sim) SetLevel(id int64, level string) bool {
	return s.edit(id, func(a *Alert) { a.Level, a.LastSeen = level, s.Now().UnixMilli() })
}

// Rate is a person who rates the policy behind an alert anew. No scan has seen the
// alert then: lastSeen stays.
func (s *Sim) Rate(id int64, level string) bool {
	return s.edit(id, func(a *Alert) { a.Level = level })
}

// Affect is a scan that finds one more resource.
func (s *Sim) Affect(id int64, name string) bool {
	return s.edit(id, func(a *Alert) {
		a.LastSeen = s.Now().UnixMilli()
		if a.Result != nil {
			own := *a.Result
			own.Resources = slices.Clone(own.Resources)
			a.Result = &own
			s.addResource(a, name)
		}
	})
}

// Suppress is a person who suppresses an alert, or opens it again. No scan has
// seen it then: lastSeen stays.
func (s *Sim) Suppress(id int64, suppressed bool) bool {
	return s.edit(id, func(a *Alert) {
		at := s.Now().UTC().Format("2006-01-02T15:04:05.000-0700")
		a.State, a.LastAction, a.LastActionTime = "OPEN", "Reopened", &at
		if suppressed {
			a.State, a.LastAction = "SUPPRESS", "Suppressed"
		}
	})
}

package cloudoptix

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// A Flow is one connection to the outside.
type Flow struct {
	Name      string `json:"name"`
	Source    string `json:"srcIpAddress"`
	Instance  string `json:"instanceId"`
	Interface string `json:"interfaceId"`
	To        string `json:"dstIpAddress"`
	Port      string `json:"dstPort"`
	Time      int64  `json:"time"` // seconds
}

// maxFlows is how many are given at once without pages.
const maxFlows = 1000

// AddTraffic makes n connections of an instance, a second apart, up to now.
func (s *Sim) AddTraffic(instance string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		s.traffic = append(s.traffic, Flow{
			Name: instance, Source: "10.0.0.5", Instance: instance, Interface: "eni-1", To: fmt.Sprintf("198.51.100.%d", i%250), Port: "443",
			Time: s.Now().Unix() - int64(n-1-i),
		})
	}
}

var trafficNames = []string{"page", "size", "isPageable", "timeFrom", "timeTo"}

func (s *Sim) vpcTraffic(w http.ResponseWriter, r *http.Request) {
	s.query(r, append([]string{"accountId", "vpcId"}, trafficNames...)...)
	q := r.URL.Query()
	s.flows(w, r, q.Get("accountId") != "" && q.Get("vpcId") != "", func(t Thing) bool {
		info, _ := t["moreInfo"].(Thing)
		return t["accountId"] == q.Get("accountId") && info["vpcId"] == q.Get("vpcId")
	})
}

func (s *Sim) instanceTraffic(w http.ResponseWriter, r *http.Request) {
	s.query(r, append([]string{"instanceId"}, trafficNames...)...)
	id := r.URL.Query().Get("instanceId")
	s.flows(w, r, id != "", func(t Thing) bool { return t["instanceId"] == id })
}

// flows answers with the traffic of the machines that are chosen.
func (s *Sim) flows(w http.ResponseWriter, r *http.Request, asked bool, choose func(Thing) bool) {
	q := r.URL.Query()
	paged := q.Get("isPageable") == "true"
	between, fault := spanOf(q, "timeFrom", "timeTo")
	page, size, wrong := smallPage(q, paged)
	if fault == "" && (paged || q.Get("page") != "" || q.Get("size") != "") {
		fault = wrong
	}
	if !asked || !slices.Contains([]string{"", "true", "false"}, q.Get("isPageable")) {
		fault = "Invalid data"
	}
	if fault != "" {
		s.wrong(w, r, 400, fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	some, known := s.flowing(choose, between)
	switch {
	case !known:
		s.refuse(w, r, 400, "Invalid data")
	case paged:
		unkind.Answer(w, 200, pageOf(some, page, size, 1))
	case len(some) > maxFlows:
		s.refuse(w, r, 400, "Retry using parameters timeFrom and timeTo or limited range for timeFrom and timeTo")
	default:
		unkind.Answer(w, 200, frame{Data: some, CurrentPage: 1, TotalPages: 1, Size: len(some)})
	}
}

func (s *Sim) flowing(choose func(Thing) bool, between span) (some []Flow, known bool) {
	some = []Flow{}
	for _, t := range s.things["vms"] {
		if !choose(t) {
			continue
		}
		known = true
		for _, f := range s.traffic {
			at := time.Unix(f.Time, 0)
			if f.Instance == t["instanceId"] && !at.Before(between.from) && (between.to.IsZero() || at.Before(between.to)) {
				some = append(some, f)
			}
		}
	}
	return some, known
}

// An ipList is the payload of the two lists of addresses.
type ipList struct {
	AccountIDs []string `json:"accountIds"`
	Data       *struct {
		IPs []string `json:"ips"`
	} `json:"data"`
}

// IPs gives the addresses that were set: those to alert on and those allowed.
func (s *Sim) IPs() (outbound, allowed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.outbound {
		outbound = append(outbound, l.Data.IPs...)
	}
	for _, l := range s.allowed {
		allowed = append(allowed, l.Data.IPs...)
	}
	return outbound, allowed
}

// body reads a JSON body strictly; it has answered if it gives false.
func (s *Sim) body(w http.ResponseWriter, r *http.Request, into any) bool {
	s.query(r)
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		s.wrong(w, r, 400, "Data object invalid")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.Decode(new(any)) != io.EOF {
		s.wrong(w, r, 400, "Data object invalid")
		return false
	}
	return true
}

// fault says what is wrong with a list, by the document; the caller holds the lock.
func (s *Sim) fault(l ipList, ranges bool) (text string, wrong bool) {
	if l.Data == nil || len(l.Data.IPs) == 0 {
		return "Data object invalid", true
	}
	for _, ip := range l.Data.IPs {
		_, err := netip.ParseAddr(ip)
		if _, noRange := netip.ParsePrefix(ip); err != nil && (!ranges || noRange != nil) {
			return "Data object invalid", true
		}
	}
	if gone := s.missing(l.AccountIDs); len(gone) > 0 {
		return noAccounts(gone), false
	}
	return "", false
}

// taken answers what is wrong with a list; true if nothing is.
func (s *Sim) taken(w http.ResponseWriter, r *http.Request, l ipList, ranges bool) bool {
	text, wrong := s.fault(l, ranges)
	switch {
	case text == "":
		return true
	case wrong:
		s.wrong(w, r, 400, text)
	default:
		s.refuse(w, r, 400, text)
	}
	return false
}

// setOutbound takes an array, and answers with nothing: the document shows no
// body.
func (s *Sim) setOutbound(w http.ResponseWriter, r *http.Request) {
	var lists []ipList
	if !s.body(w, r, &lists) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(lists) == 0 {
		s.wrong(w, r, 400, "Data object invalid")
		return
	}
	for _, l := range lists {
		if !s.taken(w, r, l, false) {
			return
		}
	}
	s.outbound = append(s.outbound, lists...)
	w.WriteHeader(200)
}

// allow takes an object, and gives an entry for each account.
func (s *Sim) allow(w http.ResponseWriter, r *http.Request) {
	var l ipList
	if !s.body(w, r, &l) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken(w, r, l, true) {
		return
	}
	s.allowed = append(s.allowed, l)
	accounts := l.AccountIDs
	if len(accounts) == 0 {
		for _, t := range s.things["accounts"] {
			accounts = append(accounts, t.id("accounts"))
		}
	}
	out := []map[string]any{}
	for _, account := range accounts {
		s.serial++
		out = append(out, map[string]any{"data": l.Data, "id": s.serial, "accountIds": accounts, "customerId": 7, "accountId": account})
	}
	unkind.Answer(w, 200, out)
}

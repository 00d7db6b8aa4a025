package cloudoptix

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/test/sim/unkind"
)

const fakeKey = "optix-key-6Fd91"

// A fake lists alerts, newest last seen first, as a second opinion beside the
// simulator: its alerts keep their time when their state changes.
type fake struct {
	*unkind.Side
	mu      sync.Mutex // guards all below
	refused bool
	touch   bool // a change counts as being seen
	alerts  []*fakeAlert
}

type fakeAlert struct {
	ID             int    `json:"id"`
	AccountID      string `json:"accountId"`
	Type           string `json:"alertType"`
	Summary        string `json:"alertSummary"`
	Level          string `json:"criticalLevel"`
	FirstSeen      int64  `json:"firstSeen"`
	LastSeen       int64  `json:"lastSeen"`
	State          string `json:"state"`
	LastActionTime string `json:"lastActionTime,omitempty"`
}

func newFake(seed uint64, touch bool) *fake {
	return &fake{Side: unkind.New("cloudoptix", unkind.Options{Seed: seed}), touch: touch}
}

func (f *fake) far() connectortest.Far {
	voice := unkind.Voice{
		Limit: func(*http.Request) string { return "key" },
		Throttled: func(w http.ResponseWriter, seconds int) {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			unkind.Answer(w, 429, nil)
		},
		Failed: func(w http.ResponseWriter, status int) { unkind.Answer(w, status, nil) },
	}
	return connectortest.Far{
		Handler: f.Wrap(voice, http.HandlerFunc(f.serve)), Kind: f.Be, Add: f.add, Change: f.change, State: f.state,
		Token: func(good bool) { f.mu.Lock(); f.refused = !good; f.mu.Unlock() },
		Violations: func() (out []string) {
			for _, v := range f.Violations() {
				out = append(out, v.String())
			}
			return out
		},
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Date", f.Now().UTC().Format(http.TimeFormat))
	if f.refused || r.Header.Get("Authorization") != "ApiKey "+fakeKey {
		unkind.Answer(w, 401, map[string]string{"message": "Unauthorized access or ApiKey expired"})
		return
	}
	q := r.URL.Query()
	var some []*fakeAlert
	from, to := time.Time{}, f.Now().Add(time.Hour)
	for name, t := range map[string]*time.Time{"lastSeenFrom": &from, "lastSeenTo": &to} {
		if v := q.Get(name); v != "" {
			var err error
			if *t, err = time.Parse("2006-01-02T15:04:05-07:00", v); err != nil {
				f.Violate(r, "%s: %v", name, err)
			}
		}
	}
	for _, a := range f.alerts {
		at := time.UnixMilli(a.LastSeen)
		if !at.Before(from) && at.Before(to) && (q.Get("states") == "" || q.Get("states") == a.State) {
			some = append(some, a)
		}
	}
	switch r.URL.Path {
	case "/api/v1/alerts/count":
		unkind.Answer(w, 200, map[string]int{"total": len(some)})
	case "/api/v1/alerts":
		slices.SortStableFunc(some, func(a, b *fakeAlert) int { return int(b.LastSeen - a.LastSeen) })
		page, _ := strconv.Atoi(q.Get("page"))
		start, pages := min(50*(page-1), len(some)), (len(some)+49)/50
		unkind.Answer(w, 200, map[string]any{
			"data": some[start:min(start+50, len(some))], "currentPage": page, "hasNext": page < pages, "totalPages": pages, "size": 50,
		})
	case "/api/v1/accounts":
		unkind.Answer(w, 200, []string{})
	default:
		unkind.Answer(w, 200, map[string]any{"data": []string{}, "totalPages": 0})
	}
}

func (f *fake) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		id, now := len(f.alerts)+1, f.Now().UnixMilli()
		a := &fakeAlert{ID: id, AccountID: "123456789012", Type: "Policy", Summary: fmt.Sprintf("Rule %d is broken", id), Level: "HIGH", FirstSeen: now, LastSeen: now, State: "OPEN"}
		if id%7 == 3 {
			a.State, a.LastActionTime = "SUPPRESS", f.Now().UTC().Format(time.RFC3339)
		}
		f.alerts = append(f.alerts, a)
	}
}

// change shows an alert again, and may suppress it, open it or change its level
// then; without touch, only its state changes, which no time tells.
func (f *fake) change(r *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.alerts[r.IntN(len(f.alerts))]
	if a.State == "OPEN" {
		a.State = "SUPPRESS"
		if f.touch {
			a.State, a.Level = "OPEN", []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[r.IntN(4)]
			if r.IntN(3) == 0 {
				a.State = "SUPPRESS"
			}
		}
	} else if f.touch {
		a.State = "OPEN"
	}
	a.LastActionTime = f.Now().UTC().Format(time.RFC3339)
	if f.touch {
		a.LastSeen = f.Now().UnixMilli()
	}
}

func (f *fake) state() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for _, a := range f.alerts {
		what := "resolved"
		if a.State == "OPEN" {
			what = "open " + map[string]string{"LOW": "low", "MEDIUM": "medium", "HIGH": "high", "CRITICAL": "critical"}[a.Level]
		}
		out[fmt.Sprintf("%s|%d", a.AccountID, a.ID)] = what
	}
	return out
}

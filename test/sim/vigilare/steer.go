package vigilare

import (
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /_sim/accounts":
		var in struct{ Account Account }
		steered(w, r, &in, func() bool { s.PutAccount(in.Account); return in.Account.ID != "" })
	case "GET /_sim/signals":
		unkind.Answer(w, 200, s.Signals())
	case "POST /_sim/signals":
		s.steerSignals(w, r)
	case "POST /_sim/resolve":
		var in struct {
			ID   string `json:"signal_id"`
			Open bool
		}
		steered(w, r, &in, func() bool { return s.Resolve(in.ID, !in.Open) })
	case "POST /_sim/change":
		var in struct {
			ID       string `json:"signal_id"`
			Severity string
		}
		steered(w, r, &in, func() bool { return s.SetSeverity(in.ID, in.Severity) })
	case "POST /_sim/score":
		s.steerScore(w, r)
	case "GET /_sim/alerts":
		unkind.Answer(w, 200, s.Alerts())
	case "POST /_sim/ack":
		var in struct {
			ID string `json:"alert_id"`
		}
		steered(w, r, &in, func() bool { return s.Ack(in.ID) })
	default:
		s.steerAccess(w, r)
	}
}

func (s *Sim) steerAccess(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "PUT /_sim/plan":
		var in struct{ Plan string }
		steered(w, r, &in, func() bool { s.SetPlan(in.Plan); return true })
	case "PUT /_sim/role":
		var in struct{ Role string }
		steered(w, r, &in, func() bool { s.SetRole(in.Role); return true })
	case "PUT /_sim/assumable":
		var in struct {
			ID        string `json:"account_id"`
			Assumable bool
		}
		steered(w, r, &in, func() bool { s.SetAssumable(in.ID, in.Assumable); return true })
	case "PUT /_sim/login":
		var in struct{ Refused bool }
		steered(w, r, &in, func() bool { s.Refuse(in.Refused); return true })
	case "POST /_sim/expire":
		s.Expire()
		unkind.Answer(w, 200, map[string]bool{"ok": true})
	default:
		if !s.Steer(w, r) {
			refuse(w, 404, "no such steering request")
		}
	}
}

// steered reads a steering request and does it.
func steered(w http.ResponseWriter, r *http.Request, in any, do func() bool) {
	if !unkind.Read(w, r, in) {
		return
	}
	if !do() {
		refuse(w, 404, "no such thing")
		return
	}
	unkind.Answer(w, 200, map[string]bool{"ok": true})
}

func (s *Sim) steerSignals(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count   int
		Account string `json:"account_id"`
		Signal  *Signal
	}
	if !unkind.Read(w, r, &in) {
		return
	}
	ids := s.Add(min(in.Count, 100_000))
	if in.Signal != nil {
		if in.Account == "" {
			in.Account = DefaultAccount
		}
		ids = append(ids, s.AddSignal(in.Account, *in.Signal).ID)
	}
	unkind.Answer(w, 201, map[string][]string{"ids": ids})
}

func (s *Sim) steerScore(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Account string `json:"account_id"`
		SRS     int
		Date    string
	}
	steered(w, r, &in, func() bool {
		if in.Account == "" {
			in.Account = DefaultAccount
		}
		if in.Date != "" {
			s.SetDay(in.Account, in.Date, in.SRS)
		} else {
			s.SetScore(in.Account, in.SRS)
		}
		return true
	})
}

package edgetelemetry

import (
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// steer answers below /_sim/, beside what package unkind offers:
//
//	POST /_sim/items      {"count": 20}: alerts, incidents, summaries, audit entries
//	POST /_sim/alerts     {"severity", "title", "context_data", …}; GET: all of them
//	POST /_sim/incidents  {"severity", "title", "node_id", …}; GET: all of them
//	POST /_sim/summaries  {"agent_id", "anomaly_count", …}
//	POST /_sim/audit      {"action", "user_email", "response_status", …}; GET: all of it
//	POST /_sim/change     {"list": "alerts" or "incidents", "id", "status", "severity"}
//	POST /_sim/edges      {"source", "target", "type"}
//	DELETE /_sim/nodes?id= takes a node out of the graph
//	PUT  /_sim/permit     {"permissions": ["alerts:read"]} of the hub's user
//	PUT  /_sim/login      {"refused": true}; ends every token too
//	POST /_sim/expire     ends every token; the next login works
func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /_sim/items":
		var in struct{ Count int }
		steered(w, r, &in, func() bool { s.Add(min(in.Count, 100_000)); return true })
	case "POST /_sim/alerts":
		var in Alert
		steered(w, r, &in, func() bool { s.AddAlert(in); return true })
	case "POST /_sim/incidents":
		var in Incident
		steered(w, r, &in, func() bool { s.AddIncident(in); return true })
	case "POST /_sim/summaries":
		var in Summary
		steered(w, r, &in, func() bool { s.AddSummary(in); return true })
	case "POST /_sim/audit":
		var in Entry
		steered(w, r, &in, func() bool { s.AddEntry(in); return true })
	case "POST /_sim/change":
		var in struct{ List, ID, Status, Severity string }
		steered(w, r, &in, func() bool {
			if in.List == "incidents" {
				return s.SetIncident(in.ID, in.Status, in.Severity)
			}
			return s.SetAlert(in.ID, in.Status, in.Severity)
		})
	default:
		s.steerRest(w, r)
	}
}

func (s *Sim) steerRest(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/alerts":
		unkind.Answer(w, 200, s.Alerts())
	case "GET /_sim/incidents":
		unkind.Answer(w, 200, s.Incidents())
	case "GET /_sim/audit":
		unkind.Answer(w, 200, s.Audit())
	case "POST /_sim/edges":
		var in struct{ Source, Target, Type string }
		steered(w, r, &in, func() bool { s.Connect(in.Source, in.Target, in.Type); return true })
	case "DELETE /_sim/nodes":
		s.RemoveNode(r.URL.Query().Get("id"))
		unkind.Answer(w, 200, map[string]bool{"ok": true})
	case "PUT /_sim/permit":
		var in struct{ Permissions []string }
		steered(w, r, &in, func() bool { s.Permit(in.Permissions...); return true })
	case "PUT /_sim/login":
		var in struct{ Refused bool }
		steered(w, r, &in, func() bool { s.Refuse(in.Refused); return true })
	case "POST /_sim/expire":
		s.Expire()
		unkind.Answer(w, 200, map[string]bool{"ok": true})
	default:
		if !s.Steer(w, r) {
			unkind.Answer(w, 404, map[string]string{"error": "there is no such steering request"})
		}
	}
}

// AddEntry adds an entry to the audit log; what is not given is filled in.
func (s *Sim) AddEntry(e Entry) Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.log(e)
}

// steered reads a steering request and does it.
func steered(w http.ResponseWriter, r *http.Request, in any, do func() bool) {
	if !unkind.Read(w, r, in) {
		return
	}
	if !do() {
		unkind.Answer(w, 404, map[string]string{"error": "there is no such thing"})
		return
	}
	unkind.Answer(w, 200, map[string]bool{"ok": true})
}

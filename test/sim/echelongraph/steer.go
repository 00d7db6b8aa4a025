package echelongraph

import (
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// steer answers below /_sim/, beside what package unkind offers:
//
//	POST /_sim/items       {"count": 10} or {"list", "item": {…}}; lists are alerts, detections, incidents, vulnerabilities
//	GET  /_sim/items?list= all of a list
//	POST /_sim/change      {"list", "id", "status", "severity"}
//	POST /_sim/compliance  {"framework", "score"}
//	POST /_sim/risk        {"category", "score"}
//	POST /_sim/audit       {"action", "user", …}
//	POST /_sim/assets      {"asset": {…}} or {"remove": id}
//	POST /_sim/links       {"source", "target", "type"}
//	POST /_sim/scan        ends a scan
//	POST /_sim/webhooks    {"url", "secret", "events": […]}
//	POST /_sim/drop        breaks every event connection
//	PUT  /_sim/plan        {"plan"}
//	PUT  /_sim/login       {"refused": true}; ends every token too
//	POST /_sim/expire      ends every access token
//	GET  /_sim/counts      connections, events sent, webhooks given up
func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /_sim/items":
		s.steerItems(w, r)
	case "GET /_sim/items":
		unkind.Answer(w, 200, s.Items(r.URL.Query().Get("list")))
	case "POST /_sim/change":
		var in struct{ List, ID, Status, Severity string }
		steered(w, r, &in, func() bool { return s.Change(in.List, in.ID, in.Status, in.Severity) })
	case "POST /_sim/compliance":
		var in Score
		steered(w, r, &in, func() bool { s.SetCompliance(in.Framework, in.Score); return true })
	case "POST /_sim/risk":
		var in Score
		steered(w, r, &in, func() bool { s.SetRisk(in.Category, in.Score); return true })
	case "POST /_sim/audit":
		var in Entry
		steered(w, r, &in, func() bool { s.AddEntry(in); return true })
	case "POST /_sim/assets":
		s.steerAssets(w, r)
	case "POST /_sim/links":
		var in Link
		steered(w, r, &in, func() bool { s.AddLink(in); return true })
	default:
		s.steerRest(w, r)
	}
}

func (s *Sim) steerRest(w http.ResponseWriter, r *http.Request) {
	done := func() { unkind.Answer(w, 200, map[string]bool{"ok": true}) }
	switch r.Method + " " + r.URL.Path {
	case "POST /_sim/scan":
		s.Scan()
		done()
	case "POST /_sim/drop":
		s.Drop()
		done()
	case "POST /_sim/expire":
		s.Expire()
		done()
	case "POST /_sim/webhooks":
		var in Hook
		steered(w, r, &in, func() bool { s.Subscribe(in); return true })
	case "PUT /_sim/plan":
		var in struct{ Plan string }
		steered(w, r, &in, func() bool { s.SetPlan(in.Plan); return true })
	case "PUT /_sim/login":
		var in struct{ Refused bool }
		steered(w, r, &in, func() bool { s.Refuse(in.Refused); return true })
	case "GET /_sim/counts":
		s.sockets.mu.Lock()
		sent := s.sockets.sent
		s.sockets.mu.Unlock()
		unkind.Answer(w, 200, map[string]int{"listeners": s.Listeners(), "events_sent": sent, "webhooks_given_up": s.GivenUp()})
	default:
		if !s.Steer(w, r) {
			refuse(w, 404, "There is no such steering request.")
		}
	}
}

// steered reads a steering request and does it.
func steered(w http.ResponseWriter, r *http.Request, in any, do func() bool) {
	if !unkind.Read(w, r, in) {
		return
	}
	if !do() {
		refuse(w, 404, "There is no such thing.")
		return
	}
	unkind.Answer(w, 200, map[string]bool{"ok": true})
}

func (s *Sim) steerItems(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count int
		List  string
		Item  *Item
	}
	if !unkind.Read(w, r, &in) {
		return
	}
	ids := s.Add(min(in.Count, 100_000))
	if in.Item != nil {
		if in.List == "" {
			in.List = "alerts"
		}
		ids[in.List] = append(ids[in.List], s.AddItem(in.List, *in.Item).ID)
	}
	unkind.Answer(w, 201, map[string]any{"ids": ids})
}

func (s *Sim) steerAssets(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Asset  *Asset
		Remove string
	}
	steered(w, r, &in, func() bool {
		if in.Asset != nil {
			s.PutAsset(*in.Asset)
		}
		if in.Remove != "" {
			s.RemoveAsset(in.Remove)
		}
		return true
	})
}

package cybervault

import (
	"encoding/json"
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/alerts":
		unkind.Answer(w, 200, s.Alerts())
	case "POST /_sim/alerts":
		s.steerAdd(w, r)
	case "POST /_sim/change":
		s.steerChange(w, r)
	case "PUT /_sim/status":
		s.steerStatus(w, r)
	case "PUT /_sim/token":
		var in struct{ Revoked bool }
		if unkind.Read(w, r, &in) {
			s.Revoke(in.Revoked)
			unkind.Answer(w, 200, in)
		}
	case "PUT /_sim/redirect":
		var in struct{ To string }
		if unkind.Read(w, r, &in) {
			s.Redirect(in.To)
			unkind.Answer(w, 200, in)
		}
	case "POST /_sim/webhooks":
		var in Subscription
		if unkind.Read(w, r, &in) {
			s.Subscribe(in)
			unkind.Answer(w, 201, map[string]bool{"ok": true})
		}
	case "POST /_sim/events":
		s.steerEvent(w, r)
	case "GET /_sim/submitted":
		unkind.Answer(w, 200, s.Submitted())
	default:
		if !s.Steer(w, r) {
			refuse(w, 404, "no such steering request")
		}
	}
}

func (s *Sim) steerAdd(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count int
		Alert *Alert
	}
	if !unkind.Read(w, r, &in) {
		return
	}
	ids := s.Add(min(in.Count, 100_000))
	if in.Alert != nil {
		if in.Alert.Status == "" {
			in.Alert.Status = "open"
		}
		ids = append(ids, s.AddAlert(*in.Alert).ID)
	}
	unkind.Answer(w, 201, map[string][]string{"ids": ids})
}

func (s *Sim) steerChange(w http.ResponseWriter, r *http.Request) {
	var in struct{ ID, Status, Severity string }
	if !unkind.Read(w, r, &in) {
		return
	}
	if !s.Change(in.ID, in.Status, in.Severity) {
		refuse(w, 404, "no such alert")
		return
	}
	unkind.Answer(w, 200, in)
}

func (s *Sim) steerStatus(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	st := s.status
	s.mu.Unlock()
	if !unkind.Read(w, r, &st) {
		return
	}
	s.mu.Lock()
	st.ActiveAlerts = 0 // counted when asked for
	s.status = st
	s.mu.Unlock()
	unkind.Answer(w, 200, st)
}

func (s *Sim) steerEvent(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Type string
		Data json.RawMessage
	}
	if unkind.Read(w, r, &in) {
		s.Send(in.Type, in.Data)
		unkind.Answer(w, 202, map[string]bool{"ok": true})
	}
}

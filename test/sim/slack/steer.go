package slack

import (
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/messages":
		unkind.Answer(w, 200, s.Messages(r.URL.Query().Get("channel")))
	case "PUT /_sim/limits":
		s.mu.Lock()
		l := s.limits
		s.mu.Unlock()
		if unkind.Read(w, r, &l) {
			s.SetLimits(l)
			unkind.Answer(w, 200, l)
		}
	case "PUT /_sim/channels":
		var in map[string]string
		if unkind.Read(w, r, &in) {
			for channel, fault := range in {
				s.Break(channel, fault)
			}
			unkind.Answer(w, 200, in)
		}
	case "POST /_sim/click":
		s.steerClick(w, r)
	case "POST /_sim/delete":
		s.steerDelete(w, r)
	case "GET /_sim/whispers":
		unkind.Answer(w, 200, s.Whispers())
	default:
		if !s.Steer(w, r) {
			http.Error(w, "no such steering request", http.StatusNotFound)
		}
	}
}

func (s *Sim) steerClick(w http.ResponseWriter, r *http.Request) {
	var c Click
	if !unkind.Read(w, r, &c) {
		return
	}
	status, body, err := s.Press(r.Context(), http.DefaultClient, c)
	if err != nil {
		unkind.Answer(w, 502, map[string]string{"error": err.Error()})
		return
	}
	unkind.Answer(w, 200, map[string]any{"status": status, "body": body})
}

func (s *Sim) steerDelete(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Channel string `json:"channel"`
		TS      string `json:"ts"`
	}
	if unkind.Read(w, r, &in) {
		s.Delete(in.Channel, in.TS)
		unkind.Answer(w, 200, map[string]bool{"ok": true})
	}
}

package cloudoptix

import (
	"net/http"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

func (s *Sim) steer(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/alerts":
		unkind.Answer(w, 200, s.Alerts())
	case "POST /_sim/alerts":
		s.steerAlerts(w, r)
	case "POST /_sim/see":
		var in struct{ ID int64 }
		steered(w, r, &in, func() bool { return s.See(in.ID) })
	case "POST /_sim/level":
		var in struct {
			ID    int64
			Level string
		}
		steered(w, r, &in, func() bool { return s.SetLevel(in.ID, in.Level) })
	case "POST /_sim/rate":
		var in struct {
			ID    int64
			Level string
		}
		steered(w, r, &in, func() bool { return s.Rate(in.ID, in.Level) })
	case "POST /_sim/suppress":
		var in struct {
			ID   int64
			Open bool
		}
		steered(w, r, &in, func() bool { return s.Suppress(in.ID, !in.Open) })
	case "POST /_sim/things":
		var in struct {
			List  string
			Thing Thing
		}
		steered(w, r, &in, func() bool { s.Put(in.List, in.Thing); return in.List != "" })
	case "POST /_sim/remove":
		var in struct{ List, ID string }
		steered(w, r, &in, func() bool { return s.Remove(in.List, in.ID) })
	default:
		s.steerScans(w, r)
	}
}

func (s *Sim) steerScans(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "PUT /_sim/image":
		var in struct {
			Name string
			Found
		}
		steered(w, r, &in, func() bool { s.SetImage(in.Name, in.Found); return in.Name != "" })
	case "PUT /_sim/scans":
		var in struct{ Fail bool }
		steered(w, r, &in, func() bool { s.FailScans(in.Fail); return true })
	case "PUT /_sim/quota":
		var in struct{ Left int }
		steered(w, r, &in, func() bool { s.SetQuota(in.Left); return true })
	case "POST /_sim/traffic":
		var in struct {
			Count    int
			Instance string `json:"instance_id"`
		}
		steered(w, r, &in, func() bool { s.AddTraffic(in.Instance, min(in.Count, 100_000)); return true })
	case "GET /_sim/ips":
		outbound, allowed := s.IPs()
		unkind.Answer(w, 200, map[string][]string{"outbound": append([]string{}, outbound...), "allowed": append([]string{}, allowed...)})
	case "PUT /_sim/key":
		var in struct{ Refused, Orphan bool }
		steered(w, r, &in, func() bool { s.Refuse(in.Refused); s.Orphan(in.Orphan); return true })
	default:
		if !s.Steer(w, r) {
			s.refuse(w, r, 404, "no such steering request")
		}
	}
}

// steered reads a steering request and does it.
func steered(w http.ResponseWriter, r *http.Request, in any, do func() bool) {
	if !unkind.Read(w, r, in) {
		return
	}
	if !do() {
		unkind.Answer(w, 404, map[string]string{"error": "no such thing"})
		return
	}
	unkind.Answer(w, 200, map[string]bool{"ok": true})
}

func (s *Sim) steerAlerts(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count int
		Alert *Alert
	}
	if !unkind.Read(w, r, &in) {
		return
	}
	ids := s.Add(min(in.Count, 100_000))
	if in.Alert != nil {
		ids = append(ids, s.AddAlert(*in.Alert).ID)
	}
	unkind.Answer(w, 201, map[string][]int64{"ids": ids})
}

package dedup

import (
	"testing"

	"github.com/tocsin/tocsin/hub"
)

func typical(at int) *hub.Finding {
	f := saw("cybervault", at, hub.High)
	f.DedupKey, f.SourceID, f.Title = "", "cv-2025-000123", "SQL injection in login form"
	f.Description = "The parameter user of /login is concatenated into a query; an attacker reads any table of the database."
	f.Labels = map[string]string{"env": "prod", "team": "payments"}
	f.Asset = &hub.Asset{Type: "vm", Provider: "aws", Account: "012345670123", Region: "eu-central-1", Name: "prod-db-01"}
	f.Payload = []byte(`{"url":"https://shop.example/login","method":"POST","parameter":"user","cwe":"CWE-89","rule":{"id":"R-1017","version":"4.2"},` +
		`"request":{"headers":{"user-agent":"curl/8.5","accept":"*/*"},"body_size":217},"confidence":0.93,"tags":["owasp-a03","sqli","login"],"timestamp":"2026-03-01T12:00:00Z"}`)
	return f
}

func BenchmarkFingerprint(b *testing.B) {
	f := typical(0)
	b.Run("source_id", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Fingerprint(Profile{}, f)
		}
	})
	f.SourceID = ""
	b.Run("discriminators", func(b *testing.B) {
		b.ReportAllocs()
		p := Profile{Discriminators: []string{"/rule/id", "/url"}}
		for b.Loop() {
			Fingerprint(p, f)
		}
	})
}

func BenchmarkDeliveryKey(b *testing.B) {
	f := typical(0)
	b.ReportAllocs()
	for b.Loop() {
		DeliveryKey(f)
	}
}

func benchDecide(b *testing.B, known int) {
	i := newIdentity(b)
	for n := range known {
		i.see(typical(n))
	}
	f := typical(known)
	newID := func() hub.AlertID { return "alt_1" }
	b.ReportAllocs()
	for b.Loop() {
		Decide(i.profile, i.state, i.alert, f, false, newID, i.now)
	}
}

func BenchmarkDecide(b *testing.B) {
	b.Run("created", func(b *testing.B) { benchDecide(b, 0) })
	b.Run("merged", func(b *testing.B) { benchDecide(b, 3) })
	b.Run("merged with full history", func(b *testing.B) { benchDecide(b, 100) })
}

func BenchmarkState(b *testing.B) {
	i := newIdentity(b)
	for n := range 100 {
		i.see(typical(n))
	}
	stored := i.state.AppendBinary(nil)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			i.state.AppendBinary(stored[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var s State
			if err := s.UnmarshalBinary(stored); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package elasticsearch

import (
	"github.com/tocsin/tocsin/connectors/elasticsearch/document"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/expr"
	"github.com/tocsin/tocsin/internal/inbound"
)

// finding maps a document; nil if it is none that is wanted.
func (s *Source) finding(h *document.Hit) (*hub.Finding, error) {
	d, err := document.Read(h)
	if err != nil {
		s.odd.Add(1)
		s.log.Warn("a document cannot be read", "index", h.Index, "id", h.ID, "error", err)
		return nil, err
	}
	if !s.wanted(h, d) {
		s.skipped.Add(1)
		return nil, nil
	}
	f := d.Finding(s.cfg.TimeField)
	if err := s.fill.Fill(&f, h.Source, s.now()); err != nil {
		s.odd.Add(1)
		s.log.Debug("a field could not be filled in", "index", h.Index, "id", h.ID, "error", err)
	}
	f.SourceSequence = h.Version
	inbound.Tidy(&f)
	return &f, nil
}

// wanted applies the condition. Building blocks of Elastic's rules are parts of
// other alerts, not alerts.
func (s *Source) wanted(h *document.Hit, d *document.Document) bool {
	if d.BuildingBlock() {
		return false
	}
	if s.when == nil {
		return true
	}
	ok, err := s.when.Test(&expr.Vars{Input: h.Source, Now: s.now()})
	if err != nil {
		s.log.Debug("a condition failed and counts as false", "error", err)
	}
	return ok
}

// Package trivy takes reports of Trivy in its JSON format: vulnerabilities,
// misconfigurations and secrets of images, file systems, repositories and
// Kubernetes clusters.
//
// A finding is known by what was scanned (an image by its digest), the rule and
// the package, file or resource; neither versions nor lines nor severities are
// part of that. Reports are read as a stream, one finding at a time.
package trivy

import (
	_ "embed"
	"io"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "trivy",
		Doc:    "Trivy: receives JSON reports with vulnerabilities, misconfigurations and secrets",
		Sample: sample,
		Open:   func(s connectors.Settings) (connectors.Source, error) { return connectors.OpenPush(s, read) },
		Format: &connectors.Format{Doc: "report of trivy --format json", Read: read, Looks: looks},
	}
}

func looks(start []byte) bool {
	return inbound.HasNames(start, "ArtifactName", "SchemaVersion") || inbound.HasNames(start, "ClusterName", "Resources", "Results")
}

func read(r io.Reader) connectors.Reading {
	return connectors.Walk(func(emit func(connectors.Part) error) error {
		w := &walk{s: inbound.NewStream(r), emit: emit}
		return w.all()
	})
}

// A walk goes through one input.
type walk struct {
	s    *inbound.Stream
	emit func(connectors.Part) error
}

// all reads a report, an array of them, or several of either.
func (w *walk) all() error {
	for {
		var err error
		switch w.s.Kind() {
		case '[':
			err = w.s.Elements(w.report)
		default:
			err = w.report()
		}
		if err == io.EOF { //nolint:errorlint // the stream gives it bare
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// report reads one report. Its results are set aside if they come before what
// they belong to.
func (w *walk) report() error {
	start, line := w.s.Offset(), w.s.Line()
	a := &artifact{}
	var later *inbound.Stream
	defer func() { later.Close() }()
	known := w.s.Kind() == 0 // a fault tells more than we could
	err := w.s.Members(func(name string) (err error) {
		switch name {
		case "ArtifactName":
			known = true
			return w.s.Text(&a.name)
		case "ArtifactType":
			return w.s.Text(&a.kind)
		case "CreatedAt":
			return w.s.Into(&a.created)
		case "ClusterName":
			known = true
			return w.s.Text(&a.cluster)
		case "Metadata":
			return w.s.Into(&a.metadata)
		case "Resources", "Vulnerabilities", "Misconfigurations": // of a cluster
			return w.s.Elements(func() error { return w.resource(a) })
		case "Results":
			if a.name != "" && a.kind != "" {
				return w.results(w.s, a)
			}
			later, err = w.s.Detach()
			return err
		}
		return w.s.Skip()
	})
	if err == nil && later != nil {
		err = w.results(later, a)
	}
	if err == nil && !known {
		err = w.emit(connectors.Part{Reject: "it is no report of Trivy: neither ArtifactName nor ClusterName is in it", Start: start, End: w.s.Offset(), Line: line})
	}
	return err
}

// resource reads one workload of a report of a cluster.
func (w *walk) resource(cluster *artifact) error {
	a := &artifact{cluster: cluster.cluster, created: cluster.created, kind: "kubernetes"}
	var later *inbound.Stream
	defer func() { later.Close() }()
	var namespace, kind, name inbound.Text
	err := w.s.Members(func(member string) (err error) {
		switch member {
		case "Namespace":
			return w.s.Text(&namespace)
		case "Kind":
			return w.s.Text(&kind)
		case "Name":
			return w.s.Text(&name)
		case "Results":
			later, err = w.s.Detach()
			return err
		}
		return w.s.Skip()
	})
	a.name, a.kubernetes = namespace+"/"+kind+"/"+name, true
	if err == nil && later != nil {
		err = w.results(later, a)
	}
	return err
}

func (w *walk) results(s *inbound.Stream, a *artifact) error {
	return s.Elements(func() error { return w.result(s, a) })
}

// result reads what was found in one target. Lists that come before its name
// are set aside.
func (w *walk) result(s *inbound.Stream, a *artifact) error {
	t := &target{artifact: a}
	later := map[string]*inbound.Stream{}
	defer func() {
		for _, l := range later {
			l.Close()
		}
	}()
	err := s.Members(func(name string) (err error) {
		switch name {
		case "Target":
			return s.Text(&t.name)
		case "Class":
			return s.Text(&t.class)
		case "Type":
			return s.Text(&t.kind)
		case "Vulnerabilities", "Misconfigurations", "Secrets":
			if t.name != "" && t.class != "" {
				return w.list(s, t, name)
			}
			if later[name] == nil {
				later[name], err = s.Detach()
				return err
			}
		}
		return s.Skip()
	})
	for _, name := range []string{"Vulnerabilities", "Misconfigurations", "Secrets"} {
		if err == nil && later[name] != nil {
			err = w.list(later[name], t, name)
		}
	}
	return err
}

func (w *walk) list(s *inbound.Stream, t *target, name string) error {
	mapping := map[string]func(inbound.Piece) ([]hub.Finding, error){
		"Vulnerabilities": t.vulnerability, "Misconfigurations": t.misconfiguration, "Secrets": t.secret,
	}[name]
	return s.Elements(func() error {
		piece, err := s.Piece()
		if err != nil {
			return err
		}
		return w.emit(connectors.MapPiece(piece, mapping))
	})
}

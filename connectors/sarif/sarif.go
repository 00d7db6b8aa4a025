// Package sarif takes SARIF 2.1.0, the format of static analysers' results.
//
// A result is known by the repository, the tool, the rule, the file and the
// fingerprints that the tool gives it; without them by its code, its logical
// place or its message, and never by a line. A result that is absent from the
// newest run, suppressed or passes resolves its finding.
//
// Files are read as a stream. What a result means stands elsewhere in its run
// (rules, repository), before it or behind, so a run's results are set aside
// until its end, in a temporary file if they are long.
package sarif

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
		Name:   "sarif",
		Doc:    "SARIF 2.1.0: receives results of static analysers",
		Sample: sample,
		Open:   open,
		Format: &connectors.Format{
			Doc: "SARIF 2.1.0", Extensions: []string{".sarif"}, Looks: looks,
			Read: func(r io.Reader) connectors.Reading { return read(r, "") },
		},
	}
}

func looks(start []byte) bool {
	return inbound.HasNames(start, "runs", "results") || inbound.HasNames(start, "runs", "tool") || inbound.HasNames(start, "runs", "version")
}

// A config is the connector's entry in the config.
type config struct {
	connectors.PushConfig `yaml:",inline"`

	// Asset is what results are about if a run does not name its repository.
	Asset string `yaml:"asset,omitempty"`
}

func open(s connectors.Settings) (connectors.Source, error) {
	var cfg config
	if err := s.Decode(&cfg); err != nil {
		return nil, err
	}
	return connectors.NewPush(&cfg.Auth, func(r io.Reader) connectors.Reading { return read(r, cfg.Asset) })
}

func read(r io.Reader, asset string) connectors.Reading {
	return connectors.Walk(func(emit func(connectors.Part) error) error {
		w := &walk{s: inbound.NewStream(r), emit: emit, fallback: asset}
		return w.all()
	})
}

// A walk goes through one input.
type walk struct {
	s        *inbound.Stream
	emit     func(connectors.Part) error
	fallback string
}

// all reads a log, or several one after another or in an array.
func (w *walk) all() error {
	for {
		err := w.one()
		if err == io.EOF { //nolint:errorlint // the stream gives it bare
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *walk) one() error {
	if w.s.Kind() == '[' {
		return w.s.Elements(w.log)
	}
	return w.log()
}

func (w *walk) log() error {
	known := w.s.Kind() == 0 // a fault tells more than we could
	start, line := w.s.Offset(), w.s.Line()
	err := w.s.Members(func(name string) error {
		if name != "runs" {
			return w.s.Skip()
		}
		known = true
		return w.s.Elements(w.run)
	})
	if err == nil && !known {
		err = w.emit(connectors.Part{Reject: "it is no SARIF log: it has no runs", Start: start, End: w.s.Offset(), Line: line})
	}
	return err
}

// run reads one run, and then its results.
func (w *walk) run() error {
	r := &run{fallback: w.fallback}
	var results *inbound.Stream
	defer func() { results.Close() }()
	err := w.s.Members(func(name string) (err error) {
		switch name {
		case "results":
			results.Close() // there are not two, or the last counts
			results, err = w.s.Detach()
			return err
		case "tool":
			return r.readTool(w.s)
		case "invocations":
			return r.readInvocations(w.s)
		case "versionControlProvenance":
			return w.s.Into(&r.provenance)
		case "automationDetails":
			return w.s.Into(&r.automation)
		case "artifacts":
			return r.readArtifacts(w.s)
		case "properties":
			return w.s.Members(func(name string) error {
				if name == "imageName" {
					return w.s.Text(&r.image)
				}
				return w.s.Skip()
			})
		}
		return w.s.Skip()
	})
	if err != nil || results == nil {
		return err
	}
	return results.Elements(func() error {
		piece, err := results.Piece()
		if err != nil {
			return err
		}
		return w.emit(connectors.MapPiece(piece, func(p inbound.Piece) ([]hub.Finding, error) { return r.finding(p) }))
	})
}

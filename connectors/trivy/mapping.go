package trivy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

type text = inbound.Text

// An artifact is what was scanned.
type artifact struct {
	name, kind, cluster text
	kubernetes          bool
	created             inbound.Time
	metadata            struct {
		OS struct {
			Family text `json:"Family"`
			Name   text `json:"Name"`
		} `json:"OS"`
		ImageID     text   `json:"ImageID"`
		RepoTags    []text `json:"RepoTags"`
		RepoDigests []text `json:"RepoDigests"`
		RepoURL     text   `json:"RepoURL"`
	}
}

// id is what stays the same while the artifact is: an image's digest in its
// repository, else the id of its content, else the name.
func (a *artifact) id() string {
	switch {
	case a.kubernetes:
		return string(inbound.First(a.cluster, "cluster") + "/" + a.name)
	case len(a.metadata.RepoDigests) > 0:
		return string(a.metadata.RepoDigests[0])
	case a.metadata.ImageID != "":
		return string(a.metadata.ImageID)
	}
	return string(inbound.First(a.metadata.RepoURL, a.name, "unknown"))
}

func (a *artifact) asset() *hub.Asset {
	tags := map[string]string{"image_id": string(a.metadata.ImageID), "os": strings.TrimSpace(string(a.metadata.OS.Family + " " + a.metadata.OS.Name))}
	asset := &hub.Asset{Type: string(a.kind), Name: string(a.name), Tags: tags}
	if a.kubernetes {
		asset.Provider, asset.Account = "kubernetes", string(a.cluster)
	}
	return asset
}

// A target is a part of an artifact: its operating system's packages, a lock
// file, a manifest.
type target struct {
	*artifact
	name, class, kind text
}

// place tells targets apart. That of an operating system is named after the
// image's tag, which says nothing of the part.
func (t *target) place() string {
	if t.class == "os-pkgs" {
		return ""
	}
	return string(t.name)
}

// base is what every finding of a target has.
func (t *target) base(piece inbound.Piece, word text) hub.Finding {
	return hub.Finding{
		AssetID: t.id(), Asset: t.asset(), Severity: severity(word), Status: hub.FindingOpen, ObservedAt: t.created.Time, Raw: piece.Raw,
		Labels: map[string]string{"trivy_class": string(t.class), "trivy_type": string(t.kind), "trivy_severity": string(word)},
	}
}

// severity: UNKNOWN is the lowest of Trivy's severities.
func severity(word text) hub.Severity {
	if strings.EqualFold(string(word), "UNKNOWN") {
		return hub.Info
	}
	return inbound.SeverityOr(string(word), hub.Info)
}

type vulnerability struct {
	ID        text `json:"VulnerabilityID"`
	Package   text `json:"PkgName"`
	Path      text `json:"PkgPath"`
	Installed text `json:"InstalledVersion"`
	Fixed     text `json:"FixedVersion"`
	Status    text `json:"Status"`
	From      text `json:"SeveritySource"`
	URL       text `json:"PrimaryURL"`
	Title     text `json:"Title"`
	About     text `json:"Description"`
	Severity  text `json:"Severity"`
	CVSS      map[string]struct {
		V2 inbound.Number `json:"V2Score"`
		V3 inbound.Number `json:"V3Score"`
		V4 inbound.Number `json:"V40Score"`
	} `json:"CVSS"`
	Weaknesses []text `json:"CweIDs"`
	Identifier struct {
		PURL text `json:"PURL"`
	} `json:"PkgIdentifier"`
}

func (t *target) vulnerability(piece inbound.Piece) ([]hub.Finding, error) {
	var v vulnerability
	if err := inbound.Decode(piece.Raw, &v, false); err != nil {
		return nil, err
	}
	if v.ID == "" || v.Package == "" {
		return nil, errors.New("a vulnerability needs VulnerabilityID and PkgName")
	}
	f := t.base(piece, v.Severity)
	f.Type = "vulnerability"
	place := inbound.First(v.Path, text(t.place()))
	f.SourceID = inbound.Key(t.id(), "vulnerability", string(v.ID), string(v.Package), string(place))
	f.Title = fmt.Sprintf("%s in %s", v.ID, v.Package)
	if v.Title != "" {
		f.Title += ": " + strings.TrimPrefix(string(v.Title), string(v.Package)+": ")
	}
	f.Description = string(v.About)
	f.Vulnerability = &hub.Vulnerability{CVE: string(v.ID), CVSS: v.score(), Package: string(v.Package), FixedVersion: string(v.Fixed)}
	f.Payload = inbound.Object(map[string]any{
		"target": place, "package": v.Package, "installed_version": v.Installed, "fixed_version": v.Fixed, "fix_status": v.Status,
		"purl": v.Identifier.PURL, "cwe": v.Weaknesses, "url": v.URL,
	})
	return []hub.Finding{f}, nil
}

// score takes that of who said how bad it is, else NVD's, else anybody's, and
// the newest version of CVSS there.
func (v *vulnerability) score() *float64 {
	order := append([]string{string(v.From), "nvd", "ghsa"}, slices.Sorted(maps.Keys(v.CVSS))...)
	for _, vendor := range order {
		c := v.CVSS[vendor]
		for _, n := range []inbound.Number{c.V4, c.V3, c.V2} {
			if s := n.Bounded(0, 10); s != nil {
				return s
			}
		}
	}
	return nil
}

type misconfiguration struct {
	ID         text `json:"ID"`
	AVDID      text `json:"AVDID"`
	Title      text `json:"Title"`
	About      text `json:"Description"`
	Message    text `json:"Message"`
	Resolution text `json:"Resolution"`
	Severity   text `json:"Severity"`
	URL        text `json:"PrimaryURL"`
	Status     text `json:"Status"`
	Cause      struct {
		Resource text           `json:"Resource"`
		Provider text           `json:"Provider"`
		Service  text           `json:"Service"`
		Line     inbound.Number `json:"StartLine"`
	} `json:"CauseMetadata"`
}

// misconfiguration: a check that passes, or that somebody has excepted, ends
// what an earlier report found.
func (t *target) misconfiguration(piece inbound.Piece) ([]hub.Finding, error) {
	var m misconfiguration
	if err := inbound.Decode(piece.Raw, &m, false); err != nil {
		return nil, err
	}
	id := inbound.First(m.ID, m.AVDID)
	if id == "" {
		return nil, errors.New("a misconfiguration needs an ID")
	}
	f := t.base(piece, m.Severity)
	f.Type = "misconfiguration"
	f.SourceID = inbound.Key(t.id(), "misconfiguration", string(id), string(t.name), string(m.Cause.Resource))
	f.Title = fmt.Sprintf("%s in %s", inbound.First(m.Title, id), t.name)
	f.Description = strings.TrimSpace(string(m.Message) + "\n\n" + string(m.Resolution) + at(t.name, m.Cause.Line))
	if m.Status == "PASS" || m.Status == "EXCEPTION" {
		f.Status = hub.FindingResolved
	}
	f.Payload = inbound.Object(map[string]any{
		"target": t.name, "rule_id": id, "avd_id": m.AVDID, "resource": m.Cause.Resource, "provider": m.Cause.Provider, "service": m.Cause.Service,
		"resolution": m.Resolution, "about": m.About, "url": m.URL,
	})
	return []hub.Finding{f}, nil
}

type secretFound struct {
	RuleID   text           `json:"RuleID"`
	Category text           `json:"Category"`
	Severity text           `json:"Severity"`
	Title    text           `json:"Title"`
	Line     inbound.Number `json:"StartLine"`
	Match    text           `json:"Match"`
}

// secret keeps what was matched out of everything but raw, though Trivy has
// masked it.
func (t *target) secret(piece inbound.Piece) ([]hub.Finding, error) {
	var s secretFound
	if err := inbound.Decode(piece.Raw, &s, false); err != nil {
		return nil, err
	}
	if s.RuleID == "" {
		return nil, errors.New("a secret needs a RuleID")
	}
	f := t.base(piece, s.Severity)
	f.Type = "policy"
	f.SourceID = inbound.Key(t.id(), "secret", string(s.RuleID), string(t.name))
	f.Title = fmt.Sprintf("%s in %s", inbound.First(s.Title, s.RuleID), t.name)
	f.Description = "A secret of the kind " + string(inbound.First(s.Category, s.RuleID)) + " is written down here." + at(t.name, s.Line)
	f.Payload = payloadOf(t, s)
	return []hub.Finding{f}, nil
}

func payloadOf(t *target, s secretFound) jsontext.Value {
	return inbound.Object(map[string]any{"target": t.name, "rule_id": s.RuleID, "category": s.Category})
}

// at names a place for people; a line is no part of any identity.
func at(file text, line inbound.Number) string {
	if line.Int() <= 0 {
		return ""
	}
	return fmt.Sprintf("\n\n%s, line %d", file, line.Int())
}

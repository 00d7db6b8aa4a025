package sarif

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

type result struct {
	RuleID    text           `json:"ruleId"`
	RuleIndex inbound.Number `json:"ruleIndex"`
	Rule      struct {
		ID        text           `json:"id"`
		Index     inbound.Number `json:"index"`
		Component struct {
			Index inbound.Number `json:"index"`
		} `json:"toolComponent"`
	} `json:"rule"`
	Kind         text            `json:"kind"`
	Level        text            `json:"level"`
	Message      message         `json:"message"`
	Locations    []location      `json:"locations"`
	Fingerprints map[string]text `json:"fingerprints"`
	Partial      map[string]text `json:"partialFingerprints"`
	Baseline     text            `json:"baselineState"`
	Suppressions []struct {
		Status text `json:"status"`
	} `json:"suppressions"`
	Viewer     text `json:"hostedViewerUri"`
	Properties struct {
		Score inbound.Number `json:"security-severity"`
		Tags  []text         `json:"tags"`
	} `json:"properties"`
}

type location struct {
	Physical struct {
		File struct {
			URI   text           `json:"uri"`
			Index inbound.Number `json:"index"`
		} `json:"artifactLocation"`
		Region  region `json:"region"`
		Context region `json:"contextRegion"`
	} `json:"physicalLocation"`
	Logical []struct {
		Full text `json:"fullyQualifiedName"`
		Name text `json:"name"`
	} `json:"logicalLocations"`
}

type region struct {
	Line    inbound.Number `json:"startLine"`
	Snippet message        `json:"snippet"`
}

func (x *result) id() text { return inbound.First(x.RuleID, x.Rule.ID) }

// parent gives the rule of a result whose id is refined: CA1000 of CA1000/1.
func parent(id text) text {
	i := strings.LastIndexByte(string(id), '/')
	return id[:max(i, 0)]
}

func (r *run) finding(piece inbound.Piece) ([]hub.Finding, error) {
	var x result
	if err := inbound.Decode(piece.Raw, &x, false); err != nil {
		return nil, err
	}
	if x.Kind == "notApplicable" {
		return nil, nil
	}
	rule := r.lookup(&x)
	id := inbound.First(x.id(), rule.ID)
	if id == "" {
		return nil, errors.New("it names no rule, by ruleId or ruleIndex")
	}
	file, line := r.place(&x)
	asset := r.assetID(file)
	f := hub.Finding{
		SourceID: inbound.Key(append([]string{asset, string(r.tool.name), string(id), string(file)}, x.mark(file)...)...),
		AssetID:  asset, Asset: &hub.Asset{Type: r.assetType(), Name: asset}, Status: x.status(), ObservedAt: r.ended, Raw: piece.Raw,
		Title: x.title(rule, id, file), Description: x.text(rule) + at(file, line),
	}
	score := inbound.Number{}
	if score = x.Properties.Score; !score.Given {
		score = rule.Properties.Score
	}
	level := x.level(rule)
	f.Severity = severity(level, score)
	f.Type, f.Vulnerability = x.kind(rule, id, score)
	f.Labels = map[string]string{"sarif_tool": string(r.tool.name), "sarif_rule": string(id), "sarif_level": string(level)}
	f.Payload = r.payload(&x, rule, id, file)
	return []hub.Finding{f}, nil
}

// place gives the file and the line of the first location.
func (r *run) place(x *result) (text, int) {
	if len(x.Locations) == 0 {
		return "", 0
	}
	p := &x.Locations[0].Physical
	file := p.File.URI
	if i := p.File.Index.Int(); file == "" && p.File.Index.Given && i >= 0 && i < len(r.files) {
		file = r.files[i]
	}
	return file, p.Region.Line.Int()
}

// assetID is the repository, else the image, else what the config says, else the
// file.
func (r *run) assetID(file text) string {
	var repository text
	if len(r.provenance) > 0 {
		repository = r.provenance[0].Repository
	}
	return string(inbound.First(repository, r.image, text(r.fallback), file, r.tool.name, "unknown"))
}

func (r *run) assetType() string {
	switch {
	case len(r.provenance) > 0:
		return "repository"
	case r.image != "":
		return "container_image"
	case r.fallback != "":
		return ""
	}
	return "file"
}

// numberless writes # for every number in a message, such as a line.
func numberless(s string) string {
	out, within := make([]byte, 0, len(s)), false
	for i := range len(s) {
		digit := s[i] >= '0' && s[i] <= '9'
		switch {
		case !digit:
			out = append(out, s[i])
		case !within:
			out = append(out, '#')
		}
		within = digit
	}
	return string(out)
}

// mark tells apart results of one rule in one file.
func (x *result) mark(text) []string {
	if len(x.Fingerprints) > 0 {
		return joined(x.Fingerprints)
	}
	if hash := x.Partial["primaryLocationLineHash"]; hash != "" {
		return []string{"primaryLocationLineHash", string(hash)}
	}
	if len(x.Partial) > 0 {
		return joined(x.Partial)
	}
	var place, code text
	if len(x.Locations) > 0 {
		l := &x.Locations[0]
		code = inbound.First(l.Physical.Region.Snippet.Text, l.Physical.Context.Snippet.Text)
		if len(l.Logical) > 0 {
			place = inbound.First(l.Logical[0].Full, l.Logical[0].Name)
		}
	}
	if code != "" {
		return []string{"code", string(place), hash(strings.Join(strings.Fields(string(code)), " "))}
	}
	words := string(x.Message.Text) + " " + strings.Join(plain(x.Message.Arguments), " ")
	return []string{"message", string(place), hash(numberless(words))}
}

func joined(prints map[string]text) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(prints)) {
		all = append(all, name, string(prints[name]))
	}
	return all
}

func plain(all []text) []string {
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = string(t)
	}
	return out
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// status: suppressed is what every suppression that is there has accepted.
func (x *result) status() hub.FindingStatus {
	suppressed := len(x.Suppressions) > 0
	for _, s := range x.Suppressions {
		suppressed = suppressed && (s.Status == "" || s.Status == "accepted")
	}
	if suppressed || x.Baseline == "absent" || x.Kind == "pass" {
		return hub.FindingResolved
	}
	return hub.FindingOpen
}

// level: none for what does not fail, then what the result says, then the rule,
// then warning.
func (x *result) level(r *rule) text {
	if x.Kind != "" && x.Kind != "fail" {
		return inbound.First(x.Level, "none")
	}
	return inbound.First(x.Level, r.Defaults.Level, "warning")
}

// severity goes by the rule's or the result's security-severity, which is a
// score from 0 to 10, and by the level only without it.
func severity(level text, score inbound.Number) hub.Severity {
	if score.Given && score.Value > 0 {
		return inbound.Score(score.Value)
	}
	switch level {
	case "error":
		return hub.High
	case "note":
		return hub.Low
	case "none":
		return hub.Info
	}
	return hub.Medium
}

var (
	cve      = regexp.MustCompile(`(?i)\bCVE-\d{4}-\d{4,}\b`)
	weakness = regexp.MustCompile(`(?i)cwe[-_/]0*(\d+)\b`)
)

// kind goes by the CVE in the rule's name, then by the weaknesses in its tags.
func (x *result) kind(r *rule, id text, score inbound.Number) (string, *hub.Vulnerability) {
	if name := cve.FindString(string(id)); name != "" {
		return "vulnerability", &hub.Vulnerability{CVE: strings.ToUpper(name), CVSS: score.Bounded(0, 10)}
	}
	tags := strings.ToLower(strings.Join(plain(append(slices.Clone(r.Properties.Tags), x.Properties.Tags...)), " "))
	for _, m := range weakness.FindAllStringSubmatch(tags, -1) {
		switch n, _ := strconv.Atoi(m[1]); n {
		case 79, 80:
			return "xss", nil
		case 89, 564:
			return "sql_injection", nil
		case 352:
			return "csrf", nil
		}
	}
	switch {
	case strings.Contains(tags, "misconfiguration"):
		return "misconfiguration", nil
	case strings.Contains(tags, "secret"):
		return "policy", nil
	case strings.Contains(tags, "security"), strings.Contains(tags, "vulnerability"), strings.Contains(tags, "cwe"), score.Given:
		return "vulnerability", nil
	}
	return "custom", nil
}

func (x *result) title(r *rule, id, file text) string {
	what := inbound.First(r.Short.Text, r.Name, id)
	if file == "" {
		return string(what)
	}
	return fmt.Sprintf("%s in %s", strings.TrimSuffix(string(what), "."), file)
}

var placeholder = regexp.MustCompile(`\{(\d+)\}`)

// text gives the message, from the rule where the result only refers to it.
func (x *result) text(r *rule) string {
	m := x.Message
	words := inbound.First(m.Text, r.Messages[string(m.ID)].Text, m.Markdown)
	return placeholder.ReplaceAllStringFunc(string(words), func(p string) string {
		if i, err := strconv.Atoi(p[1 : len(p)-1]); err == nil && i < len(m.Arguments) {
			return string(m.Arguments[i])
		}
		return p
	})
}

// at names a place for people; a line is no part of any identity.
func at(file text, line int) string {
	if line <= 0 {
		return ""
	}
	return fmt.Sprintf("\n\n%s, line %d", file, line)
}

func (r *run) payload(x *result, rule *rule, id, file text) jsontext.Value {
	var place text
	if len(x.Locations) > 0 && len(x.Locations[0].Logical) > 0 {
		place = inbound.First(x.Locations[0].Logical[0].Full, x.Locations[0].Logical[0].Name)
	}
	return inbound.Object(map[string]any{
		"tool": r.tool.name, "rule_id": id, "rule_name": rule.Name, "file": file, "logical_place": place, "tags": rule.Properties.Tags,
		"help_url": rule.HelpURI, "analysis": r.automation.ID, "viewer_url": x.Viewer,
	})
}

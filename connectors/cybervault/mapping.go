package cybervault

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// An alert is CyberVault's alert. updated_at is not documented, but taken where
// it is there: it makes the order of changes exact.
type alert struct {
	ID        string         `json:"id"`
	Severity  string         `json:"severity"`
	Type      string         `json:"type"`
	AssetID   string         `json:"asset_id"`
	CreatedAt string         `json:"created_at"`
	UpdatedAt string         `json:"updated_at"`
	Status    string         `json:"status"`
	Title     string         `json:"title"`
	Others    jsontext.Value `json:",embed"`

	raw jsontext.Value
}

// readAlert decodes one alert; false if it is none or has no id, by which it
// could be told from others.
func readAlert(raw jsontext.Value) (alert, bool) {
	a := alert{raw: raw}
	if err := json.Unmarshal(raw, &a); err != nil || a.ID == "" {
		return alert{}, false
	}
	return a, true
}

// finding maps an alert. Event time is updated_at, else created_at; the rank of
// the status is the sequence, so that of two observations with one time the
// later stage of an alert's life wins.
func (a alert) finding() hub.Finding {
	f := hub.Finding{
		SourceID: a.ID, Type: "custom", AssetID: a.AssetID, Severity: severity(a.Severity), Status: hub.FindingOpen,
		Title: a.Title, SourceSequence: a.rank(), Raw: a.raw, Payload: a.Others,
		Labels: map[string]string{},
	}
	if slices.Contains(hub.FindingTypes[:], a.Type) {
		f.Type = a.Type
	}
	// Their words, where ours do not say as much.
	label := func(name, theirs, ours string) {
		if theirs != "" && theirs != ours {
			f.Labels["cybervault_"+name] = theirs
		}
	}
	label("status", a.Status, "")
	label("type", a.Type, f.Type)
	label("severity", a.Severity, string(f.Severity))
	if a.closed() {
		f.Status = hub.FindingResolved
	}
	if f.AssetID == "" {
		f.AssetID = "unknown"
	}
	if f.Title == "" {
		f.Title = title(a.Type, f.AssetID)
	}
	f.ObservedAt = a.updated()
	if f.ObservedAt.IsZero() {
		f.ObservedAt = a.created()
	}
	f.ObservedGiven = !f.ObservedAt.IsZero()
	return f
}

// severity maps theirs to ours. A word we do not know becomes high: too loud is
// noticed and mended, too quiet is not.
func severity(word string) hub.Severity {
	s := hub.Severity(strings.ToLower(word))
	if s == "informational" {
		return hub.Info
	}
	if !s.Valid() {
		return hub.High
	}
	return s
}

// closed reports whether CyberVault is done with the alert.
func (a alert) closed() bool { return a.Status == "resolved" || a.Status == "dismissed" }

// rank orders the stages of an alert's life.
func (a alert) rank() int64 {
	switch a.Status {
	case "investigating":
		return 2
	case "resolved":
		return 3
	case "dismissed":
		return 4
	}
	return 1
}

func (a alert) created() time.Time { return instant(a.CreatedAt) }
func (a alert) updated() time.Time { return instant(a.UpdatedAt) }

// instant reads a time, zero if there is none or it is malformed.
func instant(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return hub.Truncate(t)
}

// title makes "SQL injection on srv_prod_db_01" of type and asset.
func title(kind, asset string) string {
	switch kind {
	case "":
		return "Alert on " + asset
	case "xss", "csrf":
		return strings.ToUpper(kind) + " on " + asset
	case "sql_injection":
		return "SQL injection on " + asset
	}
	words := strings.ReplaceAll(kind, "_", " ")
	_, size := utf8.DecodeRuneInString(words)
	return strings.ToUpper(words[:size]) + words[size:] + " on " + asset
}

package hub

import "strings"

// A GraphNode is an entry of the inventory in short, as a picture of the graph
// needs it.
type GraphNode struct {
	ID         AssetID  `json:"id"`
	Kind       NodeKind `json:"kind"`
	Type       string   `json:"type,omitempty"`
	Provider   string   `json:"provider,omitempty"`
	Account    string   `json:"account,omitempty"`
	Region     string   `json:"region,omitempty"`
	Name       string   `json:"name,omitempty"`
	RiskScore  *float64 `json:"risk_score,omitempty"`
	CrownJewel bool     `json:"crown_jewel"`
	Gone       bool     `json:"gone,omitempty"`
}

// A Step is one edge of a path through the graph.
type Step struct {
	From AssetID `json:"from"`
	Kind string  `json:"kind"`
	To   AssetID `json:"to"`
}

// A BlastRadius is how far an attack can go that has come to a thing.
type BlastRadius struct {
	Root  GraphNode `json:"root"`
	Depth int       `json:"depth"` // how many hops were followed

	// Reached are the things that can be got to, the nearest first, those of
	// equal hops by id. Root is not among them, nor are things that are gone.
	Reached []Reached `json:"reached"`
	// Truncated says that there is more within the depth than was followed.
	Truncated bool `json:"truncated"`

	// Alerts counts the active alerts on what is reached; nil for who may not
	// read alerts.
	Alerts *SeverityCounts `json:"alerts,omitempty"`
	// CrownJewels are those of what is reached, the root included if it is one.
	CrownJewels []AssetID `json:"crown_jewels"`
	CrownJewel  bool      `json:"crown_jewel"` // there is one
}

// A Reached is a thing within a blast radius.
type Reached struct {
	GraphNode
	Hops int `json:"hops"`
	// Path is a shortest way from the root: of several, the one that goes
	// through the smallest id last.
	Path   []Step          `json:"path"`
	Alerts *SeverityCounts `json:"alerts,omitempty"` // active ones; nil if there are none
}

// SeverityCounts counts something by severity.
type SeverityCounts struct {
	Critical int64 `json:"critical"`
	High     int64 `json:"high"`
	Medium   int64 `json:"medium"`
	Low      int64 `json:"low"`
	Info     int64 `json:"info"`
	Total    int64 `json:"total"`
}

// Add counts n more of a severity.
func (c *SeverityCounts) Add(s Severity, n int64) {
	switch s {
	case Critical:
		c.Critical += n
	case High:
		c.High += n
	case Medium:
		c.Medium += n
	case Low:
		c.Low += n
	case Info:
		c.Info += n
	}
	c.Total += n
}

// Merge adds what another counted.
func (c *SeverityCounts) Merge(o SeverityCounts) {
	c.Critical, c.High, c.Medium, c.Low, c.Info = c.Critical+o.Critical, c.High+o.High, c.Medium+o.Medium, c.Low+o.Low, c.Info+o.Info
	c.Total += o.Total
}

// crownJewel marks what must not be lost: as the name of a tag whose value does
// not deny it, or as the value of any.
const crownJewel = "crown_jewel"

// IsCrownJewel reports whether the thing's tags call it a crown jewel.
func (a *Asset) IsCrownJewel() bool {
	for name, value := range a.Tags {
		if word(value) == crownJewel {
			return true
		}
		if word(name) == crownJewel && !denies(value) {
			return true
		}
	}
	return false
}

func word(s string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(s)))
}

func denies(value string) bool {
	switch word(value) {
	case "false", "no", "0", "off", "none":
		return true
	}
	return false
}

// A NodeFilter says which entries of the inventory a list is of. An empty field
// filters nothing; of a list, any value will do.
type NodeFilter struct {
	Kind, Type, Provider, Account, Region, Source []string

	Query   string // words in id, keys, name, type, account or tags, in any case
	Gone    *bool  // only what is gone, or only what is not; nil: both
	MinRisk *float64
}

// An EdgeFilter says which edges a list is of. An empty field filters nothing.
type EdgeFilter struct {
	Kind, Source   []string
	From, To, Node AssetID // Node is either end
}

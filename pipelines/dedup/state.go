package dedup

import (
	"math"
	"slices"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// Bounds of what an identity remembers.
const (
	keepRecent  = 32 // observations; beyond them repeats are thinned out
	keepChanges = 64 // observations, thinned out or not
	keepSources = 64 // by name; further ones share the name ""

	keepEvidence = 16
	keepAssets   = 8
	keepLabels   = 64 // names of labels that people set
	flapSpan     = 20 // observations that flapping is judged by
)

// State is what is remembered of one identity beside its alert: the newest
// observations, the sum of older ones, and what people did and were told. The
// zero value is an identity that was never seen.
//
// A State is a value: no function of this package changes one it was given.
type State struct {
	sources []source
	history []observation // in order
	base    life          // what came before history
	horizon moment        // the newest that base holds; zero if it holds nothing
	began   moment        // of the alert, if it is not the identity's first: what is older belongs to one before

	early int64 // findings counted before there was an alert
	lives int64 // generations that dismissals added

	assets   []uint64 // shown so far, the newest last
	evidence []uint64

	told told

	held       int64 // changes that nobody was told of yet
	due        int64 // when they are to be told, by our clock
	summarized int64 // when people were last told of flapping
	quiet      int64 // nobody is told of anything before, or untilChange; 0 if not suppressed
	acked      int64 // acknowledgements at the sources up to this time have had their effect

	calmed   uint8    // severity that was acknowledged, dismissed or suppressed, by rank
	override uint8    // severity set by hand, by rank; 0 if none
	overrode uint8    // what the sources said then
	labels   []string // names of labels set by hand, sorted
}

// A source is one that reported the problem.
type source struct {
	name string
	// What base holds of it.
	support
	newest moment
}

// A moment is the place of an observation in the order. Sources that say the
// same at the same moment have the same, and it does not matter who comes first.
type moment struct {
	at       int64 // event time in microseconds
	sequence int64
	sum      uint32
}

// An observation is one finding, or something done by hand, in the history.
type observation struct {
	moment
	kind   kind
	source uint8 // index into State.sources; byHand for what people do
	sev    uint8
}

// byHand stands for the source of what people do.
const byHand = math.MaxUint8

type kind uint8

const (
	kindOpen kind = iota
	kindClose
	kindHandClose // closes what all sources reported before
	kindHandOpen  // takes that back
	kindTaken     // open, and the newest thing about it is that somebody at the source took it up
)

// opens reports whether the source says that the problem is there.
func (k kind) opens() bool { return k == kindOpen || k == kindTaken }

// untilChange in State.quiet means until the finding changes.
const untilChange = math.MaxInt64

// told is what the outside was last told of the alert.
type told struct {
	status status
	sev    uint8
	gen    int64
}

// A status is an alert's status in one byte; 0 is none.
type status uint8

const (
	unknown status = iota
	open
	investigating
	resolved
	dismissed
)

func statusOf(s hub.AlertStatus) status {
	switch s {
	case hub.AlertOpen:
		return open
	case hub.AlertInvestigating:
		return investigating
	case hub.AlertResolved:
		return resolved
	case hub.AlertDismissed:
		return dismissed
	}
	return unknown
}

func (s status) text() hub.AlertStatus {
	return [...]hub.AlertStatus{"", hub.AlertOpen, hub.AlertInvestigating, hub.AlertResolved, hub.AlertDismissed}[s]
}

func (s status) closed() bool { return s == resolved || s == dismissed }

// severity is the inverse of [hub.Severity.Rank].
func severity(rank uint8) hub.Severity {
	if rank < 1 || int(rank) > len(hub.Severities) {
		return ""
	}
	return hub.Severities[len(hub.Severities)-int(rank)]
}

// clone gives a copy that may be changed.
func (s *State) clone() State {
	c := *s
	c.sources = slices.Clone(s.sources)
	c.history = append(make([]observation, 0, len(s.history)+1), s.history...)
	c.assets, c.evidence, c.labels = slices.Clone(s.assets), slices.Clone(s.evidence), slices.Clone(s.labels)
	return c
}

func (s *State) isZero() bool { return len(s.sources) == 0 && len(s.history) == 0 && s.base == life{} }

// observe makes an observation of a finding. note tells that its time was clamped.
func (s *State) observe(p *Profile, f *hub.Finding, now time.Time) (o observation, c content, note string) {
	c = contentOf(p, f)
	at, note := eventTime(f, now)
	o = observation{source: s.intern(f.Source), sev: uint8(f.Severity.Rank())}
	o.at, o.sequence = hub.Micros(at), f.SourceSequence
	o.sum = uint32(c.sum[0]) | uint32(c.sum[1])<<8 | uint32(c.sum[2])<<16 | uint32(c.sum[3])<<24
	switch {
	case f.Status == hub.FindingResolved:
		o.kind = kindClose
	case !f.AcknowledgedAt.IsZero() && !f.AcknowledgedAt.Before(f.ObservedAt) && !f.ObservedAt.IsZero():
		o.kind = kindTaken
	}
	return o, c, note
}

// eventTime gives the finding's time, clamped where the source's clock is ahead.
func eventTime(f *hub.Finding, now time.Time) (time.Time, string) {
	at := f.ObservedAt
	if at.IsZero() {
		at = f.ReceivedAt
	}
	if ahead := at.Sub(now); ahead > maxSkew {
		return hub.Truncate(now), "observed_at lies " + ahead.Round(time.Second).String() + " in the future; taken as now"
	}
	return hub.Truncate(at), ""
}

// intern gives the index of a source.
func (s *State) intern(name string) uint8 {
	for i := range s.sources {
		if s.sources[i].name == name {
			return uint8(i)
		}
	}
	if len(s.sources) == keepSources {
		return s.intern("")
	}
	if len(s.sources) == keepSources-1 {
		name = "" // the last one is shared
	}
	s.sources = append(s.sources, source{name: name})
	return uint8(len(s.sources) - 1)
}

// learn remembers an asset and a piece of evidence, and tells which is new.
func (s *State) learn(c content) (newAsset, newEvidence bool) {
	s.assets, newAsset = remember(s.assets, c.asset, keepAssets)
	s.evidence, newEvidence = remember(s.evidence, c.evidence, keepEvidence)
	return newAsset, newEvidence
}

// remember moves v to the end of the list, which keeps its newest n, and tells
// whether it is news to a list that knows something.
func remember(list []uint64, v uint64, n int) ([]uint64, bool) {
	if len(list) > 0 && list[len(list)-1] == v {
		return list, false
	}
	if i := slices.Index(list, v); i >= 0 {
		return append(slices.Delete(list, i, i+1), v), false
	}
	if len(list) == n {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, v), len(list) > 0
}

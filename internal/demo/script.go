package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// An observation is a finding in the form of POST /findings.
type observation struct {
	Type     string `json:"type"`
	AssetID  string `json:"asset_id"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
	Source   string `json:"source"`
	SourceID string `json:"source_id,omitempty"`
	DedupKey string `json:"dedup_key,omitempty"`
	Status   string `json:"status,omitempty"`

	ObservedAt time.Time `json:"observed_at"`

	RiskScore     float64           `json:"risk_score,omitzero"`
	Labels        map[string]string `json:"labels,omitempty"`
	Asset         *asset            `json:"asset,omitempty"`
	Vulnerability *vulnerability    `json:"vulnerability,omitempty"`
	Compliance    *compliance       `json:"compliance,omitempty"`
	Payload       map[string]any    `json:"payload,omitempty"`
}

type asset struct {
	Type     string            `json:"type"`
	Provider string            `json:"provider,omitempty"`
	Account  string            `json:"account,omitempty"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

type vulnerability struct {
	CVE          string  `json:"cve"`
	CVSS         float64 `json:"cvss"`
	Package      string  `json:"package"`
	FixedVersion string  `json:"fixed_version"`
}

type compliance struct {
	Framework string `json:"framework"`
	Control   string `json:"control"`
	Result    string `json:"result"`
}

// A life is one problem: what its sources say of it, in the order in which it is
// sent, and what its alert must be when all has been said. Neither the order nor
// the repeats of sending may make a difference to that.
type life struct {
	sends []observation
	sent  int
	want  ending

	findings []string // ids of those that were accepted
}

// An ending is the state of an alert that follows from the observations.
type ending struct {
	severity, status  string
	sources           int
	count, duplicates int
	generation        int
}

// A send is the next thing to say of a life.
type send struct {
	life *life
	body observation
}

// A script makes up problems and says what is sent next. The same seed makes the
// same script.
type script struct {
	random *rand.Rand
	left   int // lives still to begin; negative for no end
	serial int
	active []*life
}

// together is how many problems are told of at a time.
const together = 24

func newScript(lives int) *script {
	if lives == 0 {
		lives = -1
	}
	return &script{random: rand.New(rand.NewPCG(seed, 1)), left: lives}
}

// finish begins no more lives; those that have begun are told to their end.
func (s *script) finish() { s.left = 0 }

// next gives the next n sends, fewer at the end, none behind it.
func (s *script) next(n int) (out []send) {
	for len(out) < n {
		for len(s.active) < together && s.left != 0 {
			s.left--
			s.active = append(s.active, s.begin())
		}
		if len(s.active) == 0 {
			break
		}
		i := s.random.IntN(len(s.active))
		l := s.active[i]
		out = append(out, send{l, l.sends[l.sent]})
		if l.sent++; l.sent == len(l.sends) {
			s.active[i] = s.active[len(s.active)-1]
			s.active = s.active[:len(s.active)-1]
		}
	}
	return out
}

// begin makes up a problem and its course.
func (s *script) begin() *life {
	s.serial++
	first := problem(s.serial, s.random)
	first.ObservedAt = time.Now().Add(-time.Hour).UTC().Truncate(time.Second) // the longest tale takes less
	t := tale{random: s.random, now: first, want: ending{sources: 1, generation: 1}}
	t.say()
	switch s.random.IntN(10) {
	case 0, 1: // heard of once
	case 2, 3, 4: // repeated
		t.repeat(2 + s.random.IntN(7))
	case 5, 6: // gets worse
		t.repeat(1 + s.random.IntN(3))
		t.now.Severity = worse[t.now.Severity]
		t.repeat(1 + s.random.IntN(3))
	case 7: // is over
		t.repeat(1 + s.random.IntN(3))
		t.end()
	case 8: // comes back
		t.repeat(s.random.IntN(3))
		t.end()
		t.again()
		t.repeat(s.random.IntN(3))
	case 9: // seen by two, over for one
		t.second(s.serial)
	}
	return t.life()
}

var worse = map[string]string{"low": "high", "medium": "high", "high": "critical", "critical": "critical"}

// A tale is a life being made up, in the order of the sources' clocks.
type tale struct {
	random *rand.Rand
	now    observation // the latest
	told   []observation
	want   ending
}

// say adds the observation as it is now.
func (t *tale) say() {
	t.told = append(t.told, t.now)
	t.now.ObservedAt = t.now.ObservedAt.Add(time.Duration(10+t.random.IntN(50)) * time.Second)
}

func (t *tale) repeat(n int) {
	for range n {
		t.say()
	}
}

func (t *tale) end() {
	t.now.Status = "resolved"
	t.say()
}

func (t *tale) again() {
	t.now.Status = ""
	t.want.generation++
	t.say()
}

// second has another source report the same, worse; then the first one takes
// its word back, which leaves the alert open.
func (t *tale) second(serial int) {
	key := fmt.Sprintf("shared-%d", serial)
	t.now.DedupKey, t.told[0].DedupKey = key, key
	other := t.now
	other.Source, other.SourceID, other.Severity = "soc-analyst", "", "critical"
	other.Title = "Confirmed: " + other.Title
	t.told = append(t.told, other)
	t.now.ObservedAt = other.ObservedAt.Add(time.Minute)
	t.end()
	t.want.sources, t.want.status, t.want.severity = 2, "open", "critical"
}

// life gives the tale as it is sent: some observations come after what followed
// them, and some come twice.
func (t *tale) life() *life {
	t.want.count = len(t.told)
	if last := t.told[len(t.told)-1]; t.want.status == "" {
		t.want.severity, t.want.status = last.Severity, "open"
		if last.Status != "" {
			t.want.status = last.Status
		}
	}
	sends := append([]observation{}, t.told...)
	for i := 1; i < len(sends); i++ {
		if t.random.IntN(6) == 0 {
			sends[i-1], sends[i] = sends[i], sends[i-1]
			i++ // at most one place
		}
	}
	for _, o := range t.told {
		if t.random.IntN(6) == 0 {
			sends = append(sends, o)
			t.want.duplicates++
		}
	}
	return &life{sends: sends, want: t.want}
}

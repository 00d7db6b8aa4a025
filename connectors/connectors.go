// Package connectors is how source systems reach the hub.
//
// A [Kind] opens a [Source] from its settings. What a source can do is told by
// the small interfaces it has: a [Puller] is asked again and again, a
// [Receiver] takes what the source system sends to us, a [Listener] does so on
// sockets of its own, a [Server] speaks its vendor's HTTP protocol, an [Actor]
// does for playbooks what the source system offers, a [Tester] says whether it
// can be reached, a [Reporter] says how the source system is.
//
// The package owns what all of them share: [Loop] pulls for ever from a stored
// cursor, [Fleet] holds every configured connector and is what the API speaks
// to, [API] makes HTTP calls that keep the vendor's limits and leak nothing.
// A connector knows neither the bus nor the store nor its neighbours.
//
// The list of kinds is connectors/list, the one package that imports them all.
package connectors

import (
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A Kind is one sort of source system.
type Kind struct {
	Name   string // the word in a config's "kind"
	Doc    string // one line for people: what it brings and what it can do
	Sample string // a config entry that works once its placeholders are filled in

	// Open makes a source from its settings. It checks them completely, and
	// does no I/O: a far side that is down must not keep the hub from starting.
	Open func(Settings) (Source, error)

	// Format reads files that hold what the kind is sent; nil if it has none.
	Format *Format
}

// A Source is one configured source system. Its capabilities are the
// interfaces it has beside this one.
type Source interface {
	// Close releases what Open took. It is called once, when no other call runs.
	Close() error
}

// Settings are what a source is opened with.
type Settings struct {
	Name   string       // of the connector; the Source of its findings
	Tenant hub.TenantID // whose findings they are
	Client *http.Client // the safe client; a source makes no other
	Log    *slog.Logger // already carries the connector's name

	// Wake asks for a pull soon: for a source that is told in another way that
	// there is something to fetch. It may be nil, and does not wait.
	Wake func()

	// Accept makes findings durable that an action has brought, on whichever node
	// it runs. It may be nil: then nobody takes any.
	Accept Accept

	// Config decodes the connector's entry of the config strictly: a key that
	// into does not have is an error. References are expanded already.
	Config func(into any) error
}

// Decode reads the connector's own config. Its struct embeds [Common].
func (s Settings) Decode(into any) error {
	if s.Config == nil {
		return errors.New("connector has no config")
	}
	return s.Config(into)
}

// Common is what every entry of the config may say, embedded inline in the
// struct of each kind.
type Common struct {
	Name   string       `yaml:"name"`             // unique; findings carry it as their source
	Kind   string       `yaml:"kind"`             // one of the kinds of connectors/list
	Tenant hub.TenantID `yaml:"tenant,omitempty"` // default: the tenant "default"
	Paused bool         `yaml:"paused,omitempty"` // start without pulling

	// Mirror says whether the source system is told what becomes of its findings
	// here, if it has a call for that: yes if not given. See [Mirror].
	Mirror *bool `yaml:"mirror,omitempty"`

	// Interval is from the end of one pull to the start of the next: a minute
	// if not given, five seconds at least.
	Interval hub.Duration `yaml:"interval,omitempty"`
}

// Bounds of [Common.Interval].
const (
	DefaultInterval = time.Minute
	MinInterval     = 5 * time.Second
)

// Names stand in paths (/ingest/{source}) and in metrics.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Check completes c with its defaults and says what is wrong with it.
func (c *Common) Check() error {
	var faults []error
	if !nameForm.MatchString(c.Name) {
		faults = append(faults, errors.New("name: want 1 to 63 of a-z, 0-9, - and _, starting with a letter or digit"))
	}
	if c.Tenant == "" {
		c.Tenant = hub.DefaultTenant
	}
	if c.Interval == 0 {
		c.Interval = hub.Duration(DefaultInterval)
	}
	if time.Duration(c.Interval) < MinInterval {
		faults = append(faults, errors.New("interval: want at least 5s"))
	}
	return errors.Join(faults...)
}

func (c Common) interval() time.Duration { return time.Duration(c.Interval) }

func kindNames(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

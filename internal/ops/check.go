package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/connectors/list"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/pipelines/playbook"
	"github.com/tocsin/tocsin/pipelines/route"
	"github.com/tocsin/tocsin/relay/email"
	"github.com/tocsin/tocsin/relay/template"
)

// A CheckReport is what a check of a configuration found.
type CheckReport struct {
	OK         bool             `json:"ok"`
	File       string           `json:"file"`
	Endpoints  int              `json:"endpoints"`
	Connectors int              `json:"connectors"`
	Playbooks  int              `json:"playbooks"`
	Problems   configs.Problems `json:"problems"`
}

// String gives a line a problem, or a summary if there is none.
func (r *CheckReport) String() string {
	if !r.OK {
		return r.Problems.Error()
	}
	return fmt.Sprintf("ok: %s: %s, %s, %s", r.File, count(r.Endpoints, "endpoint"), count(r.Connectors, "connector"), count(r.Playbooks, "playbook"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Check reads the configuration at path, with the environment that the hub
// would see, and all that it refers to: secrets, endpoints' expressions,
// connectors' own settings with the examples that stand beside them, playbooks,
// and the endpoints that playbooks name.
// It makes no connection. The error is for a file that cannot be read at all.
func Check(path string, environ []string) (*CheckReport, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; name a configuration file", path)
	}
	cfg, err := configs.Load(path, environ)
	c := &checker{cfg: cfg, report: &CheckReport{File: path, Problems: configs.Problems{}}}
	c.add("", err)
	if cfg != nil {
		c.endpoints()
		c.connectors()
		c.playbooks()
	}
	r := c.report
	r.Problems.Sort()
	r.Problems = slices.CompactFunc(r.Problems, func(a, b configs.Problem) bool { return a == b })
	r.OK = len(r.Problems) == 0
	return r, nil
}

type checker struct {
	cfg     *configs.Config
	report  *CheckReport
	actions playbook.Actions
	known   map[string]string // names that steps may send to, with their kinds
	broken  []string          // names and kinds of connectors that did not open
}

// add takes what a part of the hub says about the piece at path.
func (c *checker) add(path string, err error) {
	c.report.Problems = append(c.report.Problems, c.cfg.Faults(path, err)...)
}

func (c *checker) endpoints() {
	c.known = map[string]string{}
	for i := range c.cfg.Endpoints {
		e := c.cfg.Endpoints[i].Hub()
		c.known[e.Name] = e.Kind
		fields := append(route.Check(&e), template.Check(e.Kind, e.Templates)...)
		if e.Kind == hub.KindEmail && e.Config["host"] != "" {
			fields = append(fields, email.Check(&e)...)
		}
		if len(fields) > 0 {
			c.add(fmt.Sprintf("endpoints[%d]", i), &hub.Error{Kind: hub.Invalid, Fields: fields})
		}
	}
	c.report.Endpoints = len(c.cfg.Endpoints)
}

// connectors opens each connector by itself, so that what one says has its
// place, runs the examples beside its settings, and gathers the actions that
// they offer.
func (c *checker) connectors() {
	var good []connectors.Entry
	for i, entry := range entriesOf(c.cfg) {
		c.known[entry.Name] = hub.KindConnector
		fleet, err := openFleet([]connectors.Entry{entry})
		if err != nil {
			c.add(fmt.Sprintf("connectors[%d]", i), inner(err))
			c.broken = append(c.broken, entry.Name, entry.Kind)
			continue
		}
		c.add(fmt.Sprintf("connectors[%d]", i), fleet.Check(context.Background()))
		c.add(fmt.Sprintf("connectors[%d]", i), fleet.Close())
		good = append(good, entry)
	}
	c.report.Connectors = len(c.cfg.Connectors)
	var err error
	if c.actions, err = catalogueOf(good); err != nil {
		c.add("connectors", err)
	}
}

// inner takes off the prefix that a fleet gives the error of one of several.
func inner(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if below := errors.Unwrap(one); below != nil {
				return below
			}
		}
	}
	return err
}

func (c *checker) playbooks() {
	actions := c.actions
	if actions == nil {
		actions = playbook.Builtin()
	}
	books, problems := playbook.Load(actions, c.cfg.Playbooks.Paths...)
	for _, p := range problems {
		if !c.causedByConnector(p) && !c.missingPath(p) {
			c.report.Problems = append(c.report.Problems, configs.Problem{File: p.File, Line: p.Line, Path: p.Path, Text: p.Msg})
		}
	}
	c.report.Playbooks = len(books)
	for _, p := range books {
		for _, name := range p.Endpoints() {
			if _, there := c.known[name]; !there {
				c.report.Problems = append(c.report.Problems, c.cfg.Problem("playbooks.paths",
					fmt.Sprintf("playbook %s sends to %q, which is no endpoint of this configuration%s", p.Name, name, c.suggest(name))))
			}
		}
	}
	if _, err := playbook.NewSet(books, actions, nil); err != nil {
		c.add("playbooks.paths", err)
	}
}

// missingPath reports whether a playbook is missing where the configuration
// says it is, which was told there already.
func (c *checker) missingPath(p playbook.Problem) bool {
	i := slices.Index(c.cfg.Playbooks.Paths, p.File)
	return i >= 0 && p.Line == 0 && slices.ContainsFunc(c.report.Problems, func(told configs.Problem) bool {
		return told.Path == fmt.Sprintf("playbooks.paths[%d]", i)
	})
}

// causedByConnector reports whether a playbook only lacks the actions of a
// connector that is wrong itself.
func (c *checker) causedByConnector(p playbook.Problem) bool {
	return strings.HasSuffix(p.Path, ".uses") && slices.ContainsFunc(c.broken, func(name string) bool {
		return strings.HasPrefix(p.Msg, "unknown action "+name+".")
	})
}

func (c *checker) suggest(name string) string {
	var names []string
	for known, kind := range c.known {
		if kind != hub.KindConnector {
			names = append(names, known)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; there are " + strings.Join(names, ", ")
}

// entriesOf gives the configured connectors as a fleet takes them.
func entriesOf(cfg *configs.Config) []connectors.Entry {
	all := make([]connectors.Entry, len(cfg.Connectors))
	for i, c := range cfg.Connectors {
		all[i] = connectors.Entry{Common: connectors.Common{Name: c.Name, Kind: c.Kind}, Config: c.Raw.Decode}
	}
	return all
}

// openFleet opens connectors to look at them; none is run.
func openFleet(entries []connectors.Entry) (*connectors.Fleet, error) {
	return connectors.Open(connectors.FleetConfig{
		Kinds: list.Kinds(), Entries: entries, Store: noStore{}, Client: new(http.Client), Log: slog.New(slog.DiscardHandler),
	})
}

// noStore is for connectors that are only looked at.
type noStore struct{}

func (noStore) Cursor(context.Context, hub.TenantID, string) ([]byte, error) {
	return nil, errors.New("ops: connectors are not run here")
}

func (noStore) Commit(context.Context, hub.TenantID, string, connectors.Page, []byte) error {
	return errors.New("ops: connectors are not run here")
}

package sarif

import (
	"time"

	"github.com/tocsin/tocsin/internal/inbound"
)

type text = inbound.Text

type message struct {
	Text      text   `json:"text"`
	Markdown  text   `json:"markdown"`
	ID        text   `json:"id"`
	Arguments []text `json:"arguments"`
}

// A run is what of a run its results refer to.
type run struct {
	fallback   string
	tool       component
	extensions []component
	ended      time.Time
	image      text
	files      []text
	provenance []struct {
		Repository text `json:"repositoryUri"`
		Branch     text `json:"branch"`
	}
	automation struct {
		ID text `json:"id"`
	}
}

// A component is a tool's driver or an extension of it.
type component struct {
	name, version, info text
	rules               []rule
	byID                map[text]int
}

// A rule is what a rule says of its results. The rest, such as its help, is
// most of a log and is passed over.
type rule struct {
	ID       text    `json:"id"`
	Name     text    `json:"name"`
	Short    message `json:"shortDescription"`
	HelpURI  text    `json:"helpUri"`
	Defaults struct {
		Level text `json:"level"`
	} `json:"defaultConfiguration"`
	Messages   map[string]message `json:"messageStrings"`
	Properties struct {
		Score    inbound.Number `json:"security-severity"`
		Severity text           `json:"problem.severity"`
		Tags     []text         `json:"tags"`
	} `json:"properties"`
}

// maxFiles bounds what is kept of a run's list of files.
const maxFiles = 200_000

func (r *run) readTool(s *inbound.Stream) error {
	return s.Members(func(name string) error {
		switch name {
		case "driver":
			return r.tool.read(s)
		case "extensions":
			return s.Elements(func() error {
				var c component
				err := c.read(s)
				r.extensions = append(r.extensions, c)
				return err
			})
		}
		return s.Skip()
	})
}

func (c *component) read(s *inbound.Stream) error {
	return s.Members(func(name string) error {
		switch name {
		case "name":
			return s.Text(&c.name)
		case "semanticVersion", "version":
			return s.Text(&c.version)
		case "informationUri":
			return s.Text(&c.info)
		case "rules":
			return s.Elements(func() error {
				var x rule
				err := s.Into(&x)
				c.add(x)
				return err
			})
		}
		return s.Skip()
	})
}

func (c *component) add(x rule) {
	if c.byID == nil {
		c.byID = map[text]int{}
	}
	if _, there := c.byID[x.ID]; !there && x.ID != "" {
		c.byID[x.ID] = len(c.rules)
	}
	c.rules = append(c.rules, x)
}

// readInvocations takes the latest end, which is when the results were true.
func (r *run) readInvocations(s *inbound.Stream) error {
	return s.Elements(func() error {
		return s.Members(func(name string) error {
			if name != "endTimeUtc" && name != "startTimeUtc" {
				return s.Skip()
			}
			var at text
			err := s.Text(&at)
			if t := inbound.ParseTime(string(at)); t.After(r.ended) {
				r.ended = t
			}
			return err
		})
	})
}

// readArtifacts keeps the files' names: results may refer to them by number.
func (r *run) readArtifacts(s *inbound.Stream) error {
	return s.Elements(func() error {
		var place struct {
			URI text `json:"uri"`
		}
		err := s.Members(func(name string) error {
			if name == "location" {
				return s.Into(&place)
			}
			return s.Skip()
		})
		if len(r.files) < maxFiles {
			r.files = append(r.files, place.URI)
		}
		return err
	})
}

// lookup finds the rule of a result: by its number, in the component that the
// result names, else by its id, and by the part of an id before a slash.
func (r *run) lookup(x *result) *rule {
	c := &r.tool
	if i := x.Rule.Component.Index.Int(); x.Rule.Component.Index.Given && i >= 0 && i < len(r.extensions) {
		c = &r.extensions[i]
	}
	for _, n := range []inbound.Number{x.Rule.Index, x.RuleIndex} {
		if i := n.Int(); n.Given && i >= 0 && i < len(c.rules) {
			return &c.rules[i]
		}
	}
	for _, id := range []text{x.id(), parent(x.id())} {
		if i, there := c.byID[id]; there && id != "" {
			return &c.rules[i]
		}
		for e := range r.extensions {
			if i, there := r.extensions[e].byID[id]; there && id != "" {
				return &r.extensions[e].rules[i]
			}
		}
	}
	return &rule{}
}

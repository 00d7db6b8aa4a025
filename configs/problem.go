package configs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
)

// A Problem is one thing that is wrong with the configuration.
type Problem struct {
	File   string `json:"file"`             // as it was named, or "environment NAME"
	Line   int    `json:"line,omitempty"`   // from 1; 0 where there is none
	Column int    `json:"column,omitempty"` // from 1; 0 where there is none
	Path   string `json:"path,omitempty"`   // such as endpoints[2].url
	Text   string `json:"text"`             // what is wrong; what would be right
}

// String gives the problem as file:line: path: text.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Text
}

// Problems is everything that is wrong, in the order of the file. As an error
// it has one line a problem.
type Problems []Problem

// Error gives one line a problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Err gives p as an error, nil if there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Sort puts problems in the order of files and lines, those of no file last.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
}

// A place is where a value was given.
type place struct {
	file         string
	line, column int
}

func (p place) problem(path, text string) Problem {
	return Problem{File: p.file, Line: p.line, Column: p.column, Path: path, Text: text}
}

// Problem gives a problem with the value at path, such as connectors[0].kind,
// at the place where that or what is around it was given.
func (c *Config) Problem(path, text string) Problem {
	return nearest(c.places, path).problem(path, text)
}

// Faults turns what a part of the hub says about its own piece of the
// configuration, such as an unknown kind of connector or an expression that
// does not compile, into problems. Path is the piece. A [Problems] error stays
// as it is; the fields of a [hub.Error] and the members of a joined error
// become a problem each.
func (c *Config) Faults(path string, err error) Problems {
	var known Problems
	var fault *hub.Error
	switch joined, isJoined := err.(interface{ Unwrap() []error }); {
	case err == nil:
		return nil
	case isJoined:
		for _, one := range joined.Unwrap() {
			known = append(known, c.Faults(path, one)...)
		}
		return known
	case errors.As(err, &known):
		return known
	case errors.As(err, &fault) && len(fault.Fields) > 0:
		for _, f := range fault.Fields {
			known = append(known, c.Problem(c.below(path, f.Pointer), f.Detail))
		}
		return known
	}
	return Problems{c.Problem(path, err.Error())}
}

// below follows a JSON pointer down from path. Where a step is a number, what
// was given decides whether it is an index or a key.
func (c *Config) below(path, pointer string) string {
	if !strings.HasPrefix(pointer, "/") {
		return path
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if item := path + "[" + token + "]"; c.places[item] != (place{}) {
			path = item
			continue
		}
		path = join(path, token)
	}
	return path
}

// nearest gives the place of path or of the closest thing around it that was
// given; the file itself has the path "".
func nearest(places map[string]place, path string) place {
	for {
		if p, ok := places[path]; ok || path == "" {
			return p
		}
		path = around(path)
	}
}

// around gives the path of what holds the value at path.
func around(path string) string {
	if strings.HasSuffix(path, `"]`) { // a quoted key may hold anything
		if i := strings.LastIndex(path, `["`); i >= 0 {
			return path[:i]
		}
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of what a file may hold, so that a few lines of aliases that repeat
// each other cannot fill the memory.
const (
	maxNodes = 100_000
	maxDepth = 64
)

type nodeKind int

const (
	broken nodeKind = iota // a problem has been reported; whoever reads it stays silent
	null
	scalar
	list
	mapping
)

// A node is a piece of the file with everything replaced that stands for
// something else: aliases, merged mappings, references to secrets.
type node struct {
	kind   nodeKind
	at     place
	text   string  // of a scalar, as it was written: 012345670123 stays that; of null, the comment in its place
	tag    string  // what YAML takes a scalar for, such as !!int
	hidden bool    // the text came from a reference and must not be shown
	keys   []key   // of a mapping
	items  []*node // of a list, or the values of a mapping
}

type key struct {
	name string
	at   place
}

// get gives the value of a key, or nil.
func (n *node) get(name string) *node {
	for i, k := range n.keys {
		if k.name == name {
			return n.items[i]
		}
	}
	return nil
}

// parse reads the text of a file. It gives nil if there is nothing in it.
func (l *loader) parse(text []byte) *node {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		l.syntax(err, text)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		l.report(place{l.file, more.Line, more.Column}, "", "a second document starts here; the configuration is one document, so remove the --- before it")
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err, text)
	}
	b := builder{l: l}
	n := b.build(doc.Content[0], "", place{l.file, 1, 1}, 0)
	l.places[""] = place{file: l.file} // what is not in the file is on no line
	if n.kind == null {
		return nil
	}
	return n
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	// grammarError is what the reader says of the order of tokens, counting the
	// lines of those from 0; of the tokens themselves it counts from 1.
	grammarError = regexp.MustCompile(`^(did not find expected (<|node|'-'|key|',')|found (undefined|duplicate|incompatible))`)
	lineError    = regexp.MustCompile(`^(did|could) not find |^found |^mapping values |^block `)
	anchorError  = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntax reports what the YAML reader says of text. Of a mapping or list that
// goes wrong it gives the line where that starts.
func (l *loader) syntax(err error, text []byte) {
	at, message := place{file: l.file}, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		at.line, _ = strconv.Atoi(m[1]) // 0 where it gives none
		message = message[len(m[0]):]
	}
	switch anchor := anchorError.FindStringSubmatch(message); {
	case anchor != nil:
		before, _, _ := bytes.Cut(text, []byte("*"+anchor[1]))
		at.line = 1 + bytes.Count(before, []byte("\n"))
	case grammarError.MatchString(message):
		at.line = min(at.line+1, 1+bytes.Count(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")))
		message = "from here on, " + message
	case at.line == 0 && lineError.MatchString(message):
		at.line = 1
	}
	if strings.Contains(message, "cannot start any token") {
		message += "; indent with spaces, and quote values that start with @, ` or %"
	}
	l.report(at, "", "not valid YAML: "+message)
}

// A builder makes nodes out of what the YAML reader gives.
type builder struct {
	l     *loader
	count int // nodes so far, repeated ones included
	told  bool
}

// build makes the node for y and records its place: of a scalar its own, else
// that of its key, which is where a reader looks for it.
func (b *builder) build(y *yaml.Node, path string, at place, depth int) *node {
	b.count++
	if b.full(at, path, depth) {
		return &node{at: at}
	}
	switch y.Kind {
	case yaml.AliasNode: // what is wrong with it is wrong where it is written
		return b.build(y.Alias, path, at, depth+1)
	case yaml.MappingNode:
		b.l.places[path] = at
		return b.mapping(y, path, at, depth)
	case yaml.SequenceNode:
		b.l.places[path] = at
		n := &node{kind: list, at: at}
		for i, item := range y.Content {
			n.items = append(n.items, b.build(item, index(path, i), b.placeOf(item), depth+1))
		}
		return n
	}
	at = b.placeOf(y)
	b.l.places[path] = at
	return b.scalar(y, path, at)
}

// full reports that no more can be taken, and says so once.
func (b *builder) full(at place, path string, depth int) bool {
	if b.count <= maxNodes && depth <= maxDepth {
		return false
	}
	if !b.told {
		b.told = true
		b.l.report(at, path, fmt.Sprintf("too much here: more than %d values or %d levels, aliases counted where they are used", maxNodes, maxDepth))
	}
	return true
}

func (b *builder) placeOf(y *yaml.Node) place { return place{b.l.file, y.Line, y.Column} }

func (b *builder) mapping(y *yaml.Node, path string, at place, depth int) *node {
	n := &node{kind: mapping, at: at}
	m := members{seen: map[string]bool{}}
	b.collect(&m, y, path, false, depth)
	for i, k := range m.keys {
		at := b.placeOf(k)
		value := b.build(m.values[i], join(path, k.Value), at, depth+1)
		if value.kind == null {
			value.text = k.LineComment
		}
		n.keys, n.items = append(n.keys, key{k.Value, at}), append(n.items, value)
	}
	return n
}

// members are the keys and values of a mapping, merged ones included.
type members struct {
	seen         map[string]bool
	keys, values []*yaml.Node
}

// collect takes the keys in the order of the file. Those of merged mappings
// (<<) come after and only fill in what is not there.
func (b *builder) collect(m *members, y *yaml.Node, path string, merged bool, depth int) {
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		switch {
		case k.ShortTag() == "!!merge":
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			b.l.report(b.placeOf(k), path, "a key must be a text")
		case !m.seen[k.Value]:
			m.seen[k.Value] = true
			m.keys, m.values = append(m.keys, k), append(m.values, y.Content[i+1])
		case !merged:
			b.l.report(b.placeOf(k), join(path, k.Value), "given twice; keep one of the two")
		}
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		if k := y.Content[i]; k.ShortTag() == "!!merge" {
			b.merge(m, y.Content[i+1], path, depth+1)
		}
	}
}

// merge adds to m what it lacks of another mapping, or of several.
func (b *builder) merge(m *members, y *yaml.Node, path string, depth int) {
	b.count++
	if b.full(b.placeOf(y), path, depth) {
		return
	}
	switch y.Kind {
	case yaml.AliasNode:
		b.merge(m, y.Alias, path, depth+1)
	case yaml.SequenceNode:
		for _, item := range y.Content {
			b.merge(m, item, path, depth+1)
		}
	case yaml.MappingNode:
		b.collect(m, y, path, true, depth)
	default:
		b.l.report(b.placeOf(y), path, "<< takes a mapping; write <<: *name")
	}
}

// scalar takes the text as it was written and replaces references.
func (b *builder) scalar(y *yaml.Node, path string, at place) *node {
	n := &node{kind: scalar, at: at, text: y.Value, tag: y.ShortTag()}
	switch {
	case n.tag == "!!null":
		n.kind = null
		return n
	case !strings.HasPrefix(n.tag, "!!") || n.tag == "!!binary":
		b.l.report(at, path, fmt.Sprintf("the tag %s means nothing here; leave it out", y.Tag))
		n.kind = broken
		return n
	}
	b.l.expand(n, path)
	b.l.hidden[path] = n.hidden
	return n
}

// join puts a key behind a path. A key that is not plain is quoted.
func join(path, name string) string {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return path + "[" + strconv.Quote(name) + "]"
		}
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

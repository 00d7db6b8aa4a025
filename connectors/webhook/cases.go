package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A testCase is a request with the findings that are wanted of it. What a wanted
// finding does not name may be anything.
type testCase struct {
	Name     string            `yaml:"name"`
	Headers  map[string]string `yaml:"headers,omitempty"`
	Body     any               `yaml:"body,omitempty"`
	BodyText string            `yaml:"body_text,omitempty"` // as it is, such as lines
	BodyFile string            `yaml:"body_file,omitempty"` // beside the case
	Findings []map[string]any  `yaml:"findings"`
	Rejects  []string          `yaml:"rejects,omitempty"` // parts of their reasons, in order
}

// runCases runs every case of a file, or of the files of a folder that end in
// .yaml, and tells all that do not come out as they should.
func runCases(path string, read func([]byte, map[string]string) (connectors.Batch, error)) error {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cases: %w", err)
	}
	if info.IsDir() {
		files, _ = filepath.Glob(filepath.Join(path, "*.yaml"))
	}
	var faults []error
	n := 0
	for _, file := range files {
		cases, err := loadCases(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("cases: %s: %w", file, err))
			continue
		}
		for i := range cases {
			n++
			for _, fault := range cases[i].run(filepath.Dir(file), read) {
				faults = append(faults, fmt.Errorf("cases: %s: %s: %w", file, cases[i].Name, fault))
			}
		}
	}
	if n == 0 && len(faults) == 0 {
		return fmt.Errorf("cases: there are none in %s", path)
	}
	return errors.Join(faults...)
}

func loadCases(file string) ([]testCase, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var cases []testCase
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&cases); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for i := range cases {
		if cases[i].Name == "" {
			cases[i].Name = fmt.Sprintf("case %d", i+1)
		}
	}
	return cases, nil
}

func (c *testCase) body(folder string) ([]byte, error) {
	switch {
	case c.BodyFile != "":
		return os.ReadFile(filepath.Join(folder, c.BodyFile))
	case c.BodyText != "":
		return []byte(c.BodyText), nil
	}
	return json.Marshal(c.Body, json.Deterministic(true))
}

func (c *testCase) run(folder string, read func([]byte, map[string]string) (connectors.Batch, error)) []error {
	body, err := c.body(folder)
	if err != nil {
		return []error{err}
	}
	b, err := read(body, c.Headers)
	if err != nil {
		return []error{fmt.Errorf("the request is refused: %w", err)}
	}
	faults := c.compareRejects(b.Rejects)
	if len(b.Findings) != len(c.Findings) {
		return append(faults, fmt.Errorf("gives %d findings, want %d", len(b.Findings), len(c.Findings)))
	}
	for i := range b.Findings {
		faults = append(faults, compareFinding(i, &b.Findings[i], c.Findings[i])...)
	}
	return faults
}

func (c *testCase) compareRejects(got []connectors.Reject) []error {
	var faults []error
	for i, r := range got {
		if i >= len(c.Rejects) || !strings.Contains(r.Error, c.Rejects[i]) {
			faults = append(faults, fmt.Errorf("item %d is rejected: %s", r.Index, r.Error))
		}
	}
	for _, want := range c.Rejects[min(len(got), len(c.Rejects)):] {
		faults = append(faults, fmt.Errorf("nothing is rejected for %q", want))
	}
	return faults
}

func compareFinding(i int, f *hub.Finding, want map[string]any) []error {
	var got, wanted map[string]any
	if err := through(f, &got); err != nil {
		return []error{err}
	}
	if err := through(want, &wanted); err != nil {
		return []error{err}
	}
	var faults []error
	differ(fmt.Sprintf("finding %d", i), got, wanted, &faults)
	return faults
}

// through brings values into the types that JSON has.
func through(in any, out *map[string]any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

// differ tells where got lacks what is wanted.
func differ(at string, got, want any, faults *[]error) {
	w, deep := want.(map[string]any)
	g, object := got.(map[string]any)
	if !deep || !object {
		if !reflect.DeepEqual(got, want) {
			*faults = append(*faults, fmt.Errorf("%s is %s, want %s", at, show(got), show(want)))
		}
		return
	}
	names := make([]string, 0, len(w))
	for name := range w {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		differ(at+"."+name, g[name], w[name], faults)
	}
}

func show(v any) string {
	if v == nil {
		return "not there"
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

package configs

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

func equateEmpty() cmp.Option { return cmpopts.EquateEmpty() }

// owned is what the package of a connector might decode into.
type owned struct {
	common   `yaml:",inline"`
	BaseURL  string            `yaml:"base_url"`
	Token    secret.Secret     `yaml:"token,omitempty"`
	Accounts []string          `yaml:"accounts"`
	Mapping  map[string]string `yaml:"mapping"`
	Limit    int               `yaml:"limit" min:"1" max:"10"`
	History  time.Duration     `yaml:"history"`
	KeyFile  string            `yaml:"key_file" path:"beside"`
	Query    any               `yaml:"query"`
	Poll     struct {
		Every hub.Duration `yaml:"every"`
	} `yaml:"poll"`
}

type common struct {
	Name     string
	Kind     string       `yaml:"kind"`
	Interval hub.Duration `yaml:"interval"`
}

const rawText = `connectors:
  - name: cloud
    kind: cloudoptix
    interval: 1m
    base_url: https://a.example
    token: ${env:TOKEN}
    accounts: [012345670123, 0x1F, "7", 1e3, true]
    mapping: {title: "${{ body.title }}", asset_id: body.host}
    limit: 5
    history: 7d
    key_file: keys/k.pem
    query: {bool: {must: [{match: {n: 012}}, 3, 1.5, true, ~, x]}}
    poll: {every: 1d}
`

func TestRawDecode(t *testing.T) {
	path := write(t, rawText)
	c, err := Load(path, []string{"TOKEN=t"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Connectors[0]; got.Name != "cloud" || got.Kind != "cloudoptix" || got.Raw.Path() != "connectors[0]" {
		t.Errorf("got %+v", got)
	}
	got := owned{Limit: 7}
	if err := c.Connectors[0].Raw.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := owned{
		common:  common{Name: "cloud", Kind: "cloudoptix", Interval: hub.Duration(time.Minute)},
		BaseURL: "https://a.example", Accounts: []string{"012345670123", "0x1F", "7", "1e3", "true"},
		Mapping: map[string]string{"title": "${{ body.title }}", "asset_id": "body.host"},
		Limit:   5, History: 7 * day, KeyFile: filepath.Join(filepath.Dir(path), "keys/k.pem"),
		Query: map[string]any{"bool": map[string]any{"must": []any{map[string]any{"match": map[string]any{"n": "012"}}, int64(3), 1.5, true, nil, "x"}}},
	}
	want.Poll.Every = hub.Duration(day)
	if got.Token.Reveal() != "t" {
		t.Errorf("token %q", got.Token.Reveal())
	}
	got.Token = secret.Secret{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestRawDecodeKeepsDefaults(t *testing.T) {
	c, err := Load(write(t, "connectors: [{name: a, kind: b}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := owned{Limit: 7}
	if err := c.Connectors[0].Raw.Decode(&got); err != nil || got.Limit != 7 {
		t.Errorf("limit %d, %v; want the default 7", got.Limit, err)
	}
	if err := (Raw{}).Decode(&got); err != nil {
		t.Errorf("a connector that was not in a file: %v", err)
	}
	for _, into := range []any{nil, owned{}, (*owned)(nil)} {
		if err := c.Connectors[0].Raw.Decode(into); err == nil {
			t.Errorf("decodes into %T", into)
		}
	}
}

func TestRawProblems(t *testing.T) {
	text := `connectors:
  - name: cloud
    kind: cloudoptix
    bas_url: x
    limit: 11
    history: long
    accounts: one
    poll:
      evry: 1s
`
	path := write(t, text)
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Connectors[0].Raw.Decode(&owned{})
	want := strings.ReplaceAll(`FILE:4: connectors[0].bas_url: unknown key; did you mean base_url?
FILE:5: connectors[0].limit: "11" is out of range; write 1 to 10
FILE:6: connectors[0].history: "long" is not a duration; write for example 15s, 5m, 24h or 7d
FILE:7: connectors[0].accounts: must be a list; write [a, b], or "- a" lines
FILE:9: connectors[0].poll.evry: unknown key; did you mean every?`, "FILE", path)
	if diff := cmp.Diff(want, asProblems(err).Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFaults puts what others say at its place.
func TestFaults(t *testing.T) {
	path := write(t, rawText)
	c, err := Load(path, []string{"TOKEN=t"})
	if err != nil {
		t.Fatal(err)
	}
	own := Problems{{File: "p.yaml", Line: 3, Path: "steps[0]", Text: "x"}}
	fields := hub.E(hub.Invalid, "wrong")
	fields.Fields = []hub.Field{{Pointer: "/poll/every", Detail: "a"}, {Pointer: "/accounts/1", Detail: "b"}, {Pointer: "/absent/1", Detail: "c"}, {Detail: "d"}}
	got := append(c.Faults("connectors[0]", errors.Join(errors.New("plain"), fields)), c.Faults("x", own)...)
	got = append(got, c.Faults("relay.workers", errors.New("not in the file"))...)
	if more := c.Faults("x", nil); more != nil {
		t.Errorf("nil gives %v", more)
	}
	want := strings.ReplaceAll(`FILE:2: connectors[0]: plain
FILE:13: connectors[0].poll.every: a
FILE:7: connectors[0].accounts[1]: b
FILE:2: connectors[0].absent.1: c
FILE:2: connectors[0]: d
p.yaml:3: steps[0]: x
FILE: relay.workers: not in the file`, "FILE", path)
	if diff := cmp.Diff(want, got.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProblemText(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Problem{"f.yaml", 3, 1, "a.b", "x"}, "f.yaml:3: a.b: x"},
		{Problem{File: "f.yaml", Text: "x"}, "f.yaml: x"},
		{Problem{Path: "a", Text: "x"}, "a: x"},
		{Problem{Text: "x"}, "x"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if Problems(nil).Err() != nil {
		t.Error("no problem is an error")
	}
}

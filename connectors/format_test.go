package connectors

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
	"github.com/tocsin/tocsin/internal/secret"
)

// named maps {"n": …}; what has no n is rejected, and n = "none" tells nothing.
func named(p inbound.Piece) ([]hub.Finding, error) {
	var x struct {
		N string `json:"n"`
	}
	if err := json.Unmarshal(p.Raw, &x); err != nil || x.N == "" {
		return nil, errors.New("it has no n")
	}
	if x.N == "none" {
		return nil, nil
	}
	return []hub.Finding{{SourceID: x.N, Title: "  a\n b ", Raw: p.Raw}}, nil
}

func TestReadBody(t *testing.T) {
	b, err := ReadBody([]byte(`[{"n":"a"},7,{"n":"none"},{"m":1},{"n":"b"}]`), inbound.Shape{}, named)
	if err != nil || len(b.Findings) != 2 || b.Findings[1].SourceID != "b" || b.Findings[0].Title != "a b" || b.Findings[0].Status != hub.FindingOpen {
		t.Errorf("%+v, %v", b, err)
	}
	if len(b.Rejects) != 2 || b.Rejects[0].Index != 1 || b.Rejects[0].Error != "it has no n" || string(b.Rejects[0].Item) != "7" || b.Rejects[1].Index != 3 {
		t.Errorf("rejects %+v", b.Rejects)
	}
	if b, err := ReadBody([]byte(`[{"n":"a"},{`), inbound.Shape{}, named); hub.KindOf(err) != hub.Malformed || len(b.Findings) > 0 {
		t.Errorf("broken off: %+v, %v", b, err)
	}
	many := "[" + strings.Repeat(`{"n":"a"},`, maxPush) + `{"n":"a"}]`
	if b, err := ReadBody([]byte(many), inbound.Shape{}, named); hub.KindOf(err) != hub.TooLarge || len(b.Findings) > 0 {
		t.Errorf("too many: %d, %v", len(b.Findings), err)
	}
}

func TestWalk(t *testing.T) {
	for _, c := range []struct {
		take  int // parts before it is closed; -1 for all
		end   error
		parts int
	}{{-1, nil, 5}, {-1, io.ErrUnexpectedEOF, 5}, {2, nil, 2}, {0, nil, 0}} {
		cleaned := false
		r := Walk(func(emit func(Part) error) error {
			defer func() { cleaned = true }()
			for i := range 5 {
				if err := emit(Part{Reject: fmt.Sprint(i)}); err != nil {
					return err
				}
			}
			return c.end
		})
		n := 0
		var err error
		for n != c.take {
			var p Part
			if p, err = r.Next(); err != nil {
				break
			}
			if p.Reject != fmt.Sprint(n) {
				t.Errorf("part %d is %+v", n, p)
			}
			n++
		}
		want := c.end
		if c.take < 0 && want == nil {
			want = io.EOF
		}
		if n != c.parts || !errors.Is(err, want) {
			t.Errorf("%+v: %d parts, %v", c, n, err)
		}
		r.Close()
		r.Close()
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after Close: %v", err)
		}
		if cleaned != (c.take != 0) { // what was never begun has nothing to clean
			t.Errorf("%+v: cleaned up %v", c, cleaned)
		}
	}
}

func TestPushSource(t *testing.T) {
	read := func(r io.Reader) Reading { return ReadItems(r, inbound.Shape{}, named) }
	if _, err := NewPush(&inbound.Auth{}, read); err == nil {
		t.Error("opened though nobody said who may send")
	}
	p, err := NewPush(&inbound.Auth{Method: inbound.Token, Secret: secret.New("s")}, read)
	if err != nil {
		t.Fatal(err)
	}
	for token, kind := range map[string]hub.Kind{"Bearer s": "", "Bearer t": hub.Unauthorized, "": hub.Unauthorized} {
		b, err := p.Receive(t.Context(), Request{Header: http.Header{"Authorization": {token}}, Body: []byte(`{"n":"a"}`)})
		if hub.KindOf(err) != kind || (len(b.Findings) == 1) != (err == nil) {
			t.Errorf("%q: %+v, %v", token, b, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

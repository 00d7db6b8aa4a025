package connectortest

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

// A Push is a request that a connector accepts.
type Push struct {
	Name   string
	Path   string
	Header http.Header // with a right signature
	Body   []byte
	Signed string // the header that holds the signature
	Want   int    // findings in it
}

// Receive runs the kit for a connector that is sent to: a right signature is
// accepted; a wrong, a missing, a cut one and one of another body are refused
// as Unauthorized, and before the body is looked at.
func Receive(t *testing.T, source connectors.Source, pushes ...Push) {
	r, ok := source.(connectors.Receiver)
	if !ok {
		t.Fatalf("%T does not receive", source)
	}
	for _, p := range pushes {
		t.Run(p.Name, func(t *testing.T) { p.run(t, r) })
	}
}

func (p Push) run(t *testing.T, r connectors.Receiver) {
	for range 2 { // the second is a repeat, and as good
		batch, err := r.Receive(t.Context(), connectors.Request{Path: p.Path, Header: p.Header, Body: bytes.Clone(p.Body)})
		if err != nil || len(batch.Findings) != p.Want {
			t.Fatalf("right signature: %d findings, error %v; want %d, none", len(batch.Findings), err, p.Want)
		}
	}
	right := p.Header.Get(p.Signed)
	tampered := bytes.Clone(p.Body)
	tampered[len(tampered)/2] ^= 1
	tests := []struct {
		name, signature string
		body            []byte
	}{
		{"missing signature", "", p.Body},
		{"wrong signature", flip(right), p.Body},
		{"cut signature", right[:len(right)/2], p.Body},
		{"longer signature", right + "00", p.Body},
		{"no signature at all", "rubbish", p.Body},
		{"tampered body", right, tampered},
		{"shorter body", right, p.Body[:len(p.Body)-1]},
		{"longer body", right, append(bytes.Clone(p.Body), ' ')},
		{"no body", right, nil},
		{"body that is no JSON", right, []byte("{")},
	}
	for _, tt := range tests {
		h := p.Header.Clone()
		h.Set(p.Signed, tt.signature)
		batch, err := r.Receive(t.Context(), connectors.Request{Path: p.Path, Header: h, Body: tt.body})
		if hub.KindOf(err) != hub.Unauthorized || len(batch.Findings) > 0 {
			t.Errorf("%s: %d findings, error %v; want kind %s", tt.name, len(batch.Findings), err, hub.Unauthorized)
		}
	}
}

// flip changes the last character that matters.
func flip(signature string) string {
	b := []byte(signature)
	i := len(b) - 1
	for i > 0 && b[i] == '=' {
		i--
	}
	if b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return string(b)
}

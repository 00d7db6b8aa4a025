package api

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
)

// IdemHeader is the Idempotency-Key of a POST that makes or changes something.
type IdemHeader struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key and body give the first answer again for 24 h"`
}

// key makes the Idempotency of a request. what is the decoded body, route and
// path parameters included; shape turns the result into the answer's body.
func (h IdemHeader) key(p hub.Principal, status int, what any, shape func(result any) any) Idempotency {
	if h.IdempotencyKey == "" {
		return Idempotency{}
	}
	body, _ := json.Marshal(what, json.Deterministic(true)) // the types are ours
	sum := sha256.Sum256(append([]byte(p.Method+"\n"+p.Path+"\n"), body...))
	return Idempotency{Key: h.IdempotencyKey, Request: sum, Answer: func(result any) (int, []byte) {
		b, err := json.Marshal(shape(result))
		if err != nil {
			return status, []byte("{}")
		}
		return status, b
	}}
}

// replayed decodes the first answer again into out, if err says that there was
// one.
func replayed(_ context.Context, err error, out any) error {
	var again *Remembered
	if !errors.As(err, &again) {
		return err
	}
	return json.Unmarshal(again.Body, out)
}

func same(result any) any { return result }

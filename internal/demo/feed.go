package demo

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/go-json-experiment/json"
)

// A feed sends findings into the hub by every way there is: one by one, in
// batches of both forms, and through the source systems by pull, webhook and
// WebSocket.
type feed struct {
	client *client
	far    *farSides
	random *rand.Rand

	lives    map[*life]bool
	accepted map[string]bool // ids the hub answered with
	invalid  int             // sent on purpose and refused
	repeated int             // requests repeated under one Idempotency-Key
	waited   int             // findings whose triage was waited for
	faults   []string        // answers that were not as documented

	vault vaultFeed
	cloud *cloudFeed
}

func newFeed(c *client, far *farSides) *feed {
	return &feed{
		client: c, far: far, random: rand.New(rand.NewPCG(seed, 2)), lives: map[*life]bool{}, accepted: map[string]bool{},
		vault: vaultFeed{sim: far.vault, random: rand.New(rand.NewPCG(seed, 3))}, cloud: newCloudFeed(far),
	}
}

// wave sends some findings directly and lets the source systems tell of some more.
func (f *feed) wave(ctx context.Context, n int, sends []send) error {
	third := len(sends) / 3
	if err := f.singles(ctx, n, sends[:third]); err != nil {
		return err
	}
	if err := f.array(ctx, sends[third:2*third]); err != nil {
		return err
	}
	if err := f.lines(ctx, sends[2*third:]); err != nil {
		return err
	}
	f.vault.wave()
	f.far.vault.Flush(ctx, f.far.client)
	f.cloud.wave()
	if err := f.cloud.acknowledge(ctx, f.client); err != nil {
		return err
	}
	return f.client.connectors(ctx, "sync")
}

// accept notes that a send was taken in under an id.
func (f *feed) accept(s send, id string) {
	f.accepted[id] = true
	f.lives[s.life] = true
	s.life.findings = append(s.life.findings, id)
}

// singles posts one by one. One of a wave waits for its triage, and some repeat
// the request as a client would that got no answer.
func (f *feed) singles(ctx context.Context, n int, sends []send) error {
	for i, s := range sends {
		body, err := json.Marshal(s.body)
		if err != nil {
			return err
		}
		switch {
		case i == 0:
			err = f.waiting(ctx, s, body)
		case i%6 == 1:
			err = f.twice(ctx, s, body, fmt.Sprintf("demo-%d-%d", n, i))
		default:
			_, err = f.single(ctx, s, request{body: body})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) single(ctx context.Context, s send, r request) (string, error) {
	var answer finding
	r.method, r.path = http.MethodPost, "/findings"
	if err := f.client.call(ctx, r, http.StatusAccepted, &answer); err != nil {
		return "", err
	}
	f.accept(s, answer.ID)
	return answer.ID, nil
}

// twice repeats a request under the same Idempotency-Key: it must count once.
func (f *feed) twice(ctx context.Context, s send, body []byte, key string) error {
	r := request{body: body, idempotency: key}
	first, err := f.single(ctx, s, r)
	if err != nil {
		return err
	}
	var answer finding
	r.method, r.path = http.MethodPost, "/findings"
	if err := f.client.call(ctx, r, http.StatusAccepted, &answer); err != nil {
		return err
	}
	f.repeated++
	if answer.ID != first {
		f.faults = append(f.faults, fmt.Sprintf("the request repeated under %s made %s beside %s", key, answer.ID, first))
	}
	return nil
}

// waiting posts with ?wait=true, which answers after triage.
func (f *feed) waiting(ctx context.Context, s send, body []byte) error {
	var answer finding
	r := request{method: http.MethodPost, path: "/findings?wait=true", body: body}
	if err := f.client.call(ctx, r, http.StatusOK, &answer); err != nil {
		return err
	}
	f.waited++
	if answer.Outcome == "" {
		f.faults = append(f.faults, "?wait=true answered without an outcome for "+answer.ID)
	}
	f.accept(s, answer.ID)
	return nil
}

// array posts a JSON array. One of its members is invalid: the others must be
// kept, and that one must be named.
func (f *feed) array(ctx context.Context, sends []send) error {
	if len(sends) == 0 {
		return nil
	}
	all := make([]any, 0, len(sends)+1)
	for _, s := range sends {
		all = append(all, s.body)
	}
	all = append(all, observation{Type: "sql_injection", AssetID: "shop", Severity: "very bad", Title: "Invalid on purpose", Source: "waf"})
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	f.invalid++
	return f.batch(ctx, sends, request{path: "/findings/batch", body: body}, []int{len(sends)})
}

// lines posts NDJSON.
func (f *feed) lines(ctx context.Context, sends []send) error {
	var body bytes.Buffer
	for _, s := range sends {
		line, err := json.Marshal(s.body)
		if err != nil {
			return err
		}
		body.Write(append(line, '\n'))
	}
	return f.batch(ctx, sends, request{path: "/findings/batch", body: body.Bytes(), media: "application/x-ndjson"}, nil)
}

func (f *feed) batch(ctx context.Context, sends []send, r request, rejected []int) error {
	var answer struct {
		Accepted int      `json:"accepted"`
		IDs      []string `json:"ids"`
		Rejected []struct {
			Index int `json:"index"`
		} `json:"rejected"`
	}
	r.method = http.MethodPost
	if err := f.client.call(ctx, r, http.StatusAccepted, &answer); err != nil {
		return err
	}
	if answer.Accepted != len(sends) || len(answer.IDs) != len(sends) || len(answer.Rejected) != len(rejected) {
		f.faults = append(f.faults, fmt.Sprintf("a batch of %d and %d invalid findings was answered with accepted %d, %d ids, %d rejected",
			len(sends), len(rejected), answer.Accepted, len(answer.IDs), len(answer.Rejected)))
	}
	for i, at := range rejected {
		if i < len(answer.Rejected) && answer.Rejected[i].Index != at {
			f.faults = append(f.faults, fmt.Sprintf("a batch rejected index %d, want %d", answer.Rejected[i].Index, at))
		}
	}
	for i := range min(len(sends), len(answer.IDs)) {
		f.accept(sends[i], answer.IDs[i])
	}
	return nil
}

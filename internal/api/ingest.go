package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v2"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/intake"
)

// waitLimit is how long ?wait=true waits for triage.
const waitLimit = 10 * time.Second

// postFinding takes one finding.
func (s *Server) postFinding(c *fiber.Ctx) error {
	if err := wantJSON(c); err != nil {
		return err
	}
	body, err := s.body(c)
	if err != nil {
		return err
	}
	f, err := intake.Finding(body)
	if err != nil {
		return err
	}
	idem, err := idempotency(c, body, func(any) (int, []byte) { return fiber.StatusAccepted, accepted(f.ID) })
	if err != nil {
		return err
	}
	p := principal(c)
	if err := s.deps.Findings.Accept(c.UserContext(), p, []*hub.Finding{f}, idem); err != nil {
		return s.answered(c, err)
	}
	if c.Query("wait") == "true" {
		return s.waitFor(c, p.Tenant, f.ID)
	}
	return sendJSON(c, fiber.StatusAccepted, accepted(f.ID))
}

// accepted is the answer to an accepted finding.
func accepted(id hub.FindingID) []byte {
	b := append(make([]byte, 0, 80), `{"id":"`...)
	return append(append(b, id...), `","status":"accepted"}`...)
}

func (s *Server) waitFor(c *fiber.Ctx, t hub.TenantID, id hub.FindingID) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), waitLimit)
	defer cancel()
	triage, err := s.deps.Findings.Wait(ctx, t, id)
	if err != nil {
		return err
	}
	return s.send(c, fiber.StatusOK, triage)
}

// postBatch takes up to 1,000 findings, as an array or a line each. Good ones
// are kept when others are bad.
func (s *Server) postBatch(c *fiber.Ctx) error {
	read, err := batchReader(c)
	if err != nil {
		return err
	}
	body, err := s.body(c)
	if err != nil {
		return err
	}
	all, rejected, err := read(body)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return nothingGood(rejected)
	}
	idem, err := idempotency(c, body, func(any) (int, []byte) { return fiber.StatusAccepted, batchAnswer(all, rejected) })
	if err != nil {
		return err
	}
	if err := s.deps.Findings.Accept(c.UserContext(), principal(c), all, idem); err != nil {
		return s.answered(c, err)
	}
	return sendJSON(c, fiber.StatusAccepted, batchAnswer(all, rejected))
}

func batchReader(c *fiber.Ctx) (func([]byte) ([]*hub.Finding, []intake.Reject, error), error) {
	switch mediaType(c) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return intake.Lines, nil
	}
	return intake.Array, wantJSON(c)
}

type batchResult struct {
	Accepted int             `json:"accepted"`
	IDs      []hub.FindingID `json:"ids"`
	Rejected []Reject        `json:"rejected"`
}

func batchAnswer(all []*hub.Finding, rejected []intake.Reject) []byte {
	r := batchResult{Accepted: len(all), IDs: make([]hub.FindingID, len(all)), Rejected: rejects(rejected)}
	for i, f := range all {
		r.IDs[i] = f.ID
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic("api: encode a batch result: " + err.Error()) // the type is ours
	}
	return b
}

func rejects(all []intake.Reject) []Reject {
	out := make([]Reject, len(all))
	for i, r := range all {
		out[i] = Reject{r.Index, messageOf(r.Err)}
	}
	return out
}

func messageOf(err error) string {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return "internal error"
}

// nothingGood is the answer to a batch without one good finding.
func nothingGood(rejected []intake.Reject) error {
	e := &hub.Error{Kind: hub.Invalid, Msg: "the batch holds no finding"}
	for _, r := range rejected {
		pointer := "/" + itoa(r.Index)
		var he *hub.Error
		if !errors.As(r.Err, &he) || len(he.Fields) == 0 {
			e.Fields = append(e.Fields, hub.Field{Pointer: pointer, Detail: messageOf(r.Err)})
			continue
		}
		for _, f := range he.Fields {
			e.Fields = append(e.Fields, hub.Field{Pointer: pointer + f.Pointer, Detail: f.Detail})
		}
	}
	if len(rejected) > 0 {
		e.Msg = "no finding of the batch is valid; the first: " + messageOf(rejected[0].Err)
	}
	return e
}

// postIngest hands a push to its source, which checks the signature and reads
// the format.
func (s *Server) postIngest(c *fiber.Ctx) error {
	r, err := s.ingestRequest(c)
	if err != nil {
		return err
	}
	res, err := s.deps.Findings.Ingest(c.UserContext(), strings.Clone(c.Params("source")), r)
	if err != nil {
		return s.answered(c, err)
	}
	if res.IDs == nil {
		res.IDs = []hub.FindingID{}
	}
	if res.Rejected == nil {
		res.Rejected = []Reject{}
	}
	return s.send(c, fiber.StatusAccepted, batchResult{len(res.IDs), res.IDs, res.Rejected})
}

// answered gives the first answer again to a request whose Idempotency-Key was
// used before; any other error goes its usual way.
func (s *Server) answered(c *fiber.Ctx, err error) error {
	var again *Remembered
	if !errors.As(err, &again) {
		return err
	}
	c.Set("Idempotent-Replayed", "true")
	return sendJSON(c, again.Status, again.Body)
}

// maxIdempotencyKey is the longest Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// idempotency reads the request's Idempotency-Key.
func idempotency(c *fiber.Ctx, body []byte, answer func(any) (int, []byte)) (Idempotency, error) {
	key := c.Get("Idempotency-Key")
	if key == "" {
		return Idempotency{}, nil
	}
	if len(key) > maxIdempotencyKey {
		return Idempotency{}, hub.E(hub.Malformed, "the Idempotency-Key is longer than 255 bytes")
	}
	h := sha256.New()
	for _, part := range []string{c.Method(), "\n", c.Path(), "\n"} {
		h.Write([]byte(part))
	}
	h.Write(body)
	return Idempotency{Key: key, Request: [32]byte(h.Sum(nil)), Answer: answer}, nil
}

func mediaType(c *fiber.Ctx) string {
	t, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// wantJSON refuses bodies that say they are something else.
func wantJSON(c *fiber.Ctx) error {
	t := mediaType(c)
	if t == "" || t == "application/json" || strings.HasSuffix(t, "+json") {
		return nil
	}
	return hub.E(hub.Unsupported, "the Content-Type must be application/json, not "+t)
}

func sendJSON(c *fiber.Ctx, status int, body []byte) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(status).Send(body)
}

func (s *Server) send(c *fiber.Ctx, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return sendJSON(c, status, b)
}

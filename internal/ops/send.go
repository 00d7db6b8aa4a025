package ops

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"
)

// Bounds of a batch: the contract's number of findings, and well below the
// hub's usual body limit of 5 MiB.
const (
	maxBatchItems = 1000
	maxBatchBytes = 4 << 20
)

// maxRejects is how many rejected findings are listed; all are counted.
const maxRejects = 1000

// SendOptions say what is sent, and where.
type SendOptions struct {
	Client *Client
	// Files to send, in order; "-" is Stdin.
	Files []string
	Stdin io.Reader
	// Format of all files; "" to tell by the file's ending or its beginning.
	Format string
	// Source is put into findings that name none; "" leaves them, but for those
	// of a source system's format, whose source is the format's name.
	Source string
	// Resume goes on where a state file says that an earlier call stopped, and
	// keeps one while it sends.
	Resume bool
	// Progress is called after each batch and before each wait. It may be nil.
	Progress func(SendProgress)
}

// A SendProgress is how far sending has come.
type SendProgress struct {
	Bytes, Total       int64 // of all files; Total is 0 if unknown
	Accepted, Rejected int64
	Waiting            string // why, while the hub takes nothing
}

// A SendResult is what came of sending.
type SendResult struct {
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
	// Rejects are the first thousand of those rejected.
	Rejects []SendReject `json:"rejects"`
	Bytes   int64        `json:"bytes"`
	Batches int64        `json:"batches"`
	Seconds float64      `json:"seconds"`
	// Resumed is how many findings an earlier call had sent already; they are
	// counted above too.
	Resumed int64 `json:"resumed"`
}

// A SendReject is one finding that was not taken.
type SendReject struct {
	File  string `json:"file"`
	Index int64  `json:"index"` // in the file, from 0
	Line  int64  `json:"line"`  // from 1
	Error string `json:"error"`
}

// Send submits the findings of files. They are read as a stream and sent in
// batches, one after the other, so that their order is kept and memory is
// bounded.
//
// Each batch has an Idempotency-Key made of its place in the file and its
// content: whatever is repeated, because an answer was lost or because the whole
// call is repeated within a day, is answered by the hub as the first time and
// changes nothing. The result counts what was done, also after an error.
func Send(ctx context.Context, o SendOptions) (SendResult, error) {
	begun := time.Now()
	s := &sender{o: o, result: SendResult{Rejects: []SendReject{}}}
	err := s.sizes()
	for i := 0; i < len(o.Files) && err == nil; i++ {
		err = s.file(ctx, o.Files[i])
	}
	s.result.Seconds = time.Since(begun).Seconds()
	return s.result, err
}

type sender struct {
	o      SendOptions
	total  int64 // bytes of all files, 0 if unknown
	before int64 // bytes of the files before the present one
	result SendResult

	// Of the present file.
	name   string
	source string // of findings that name none
	state  *sendState
	digest hash.Hash // over all items read
	batch  batch
}

// sizes finds out how much there is to send, and that every file is there
// before the first is sent.
func (s *sender) sizes() error {
	if s.o.Client != nil {
		s.o.Client.Waiting = s.waiting
	}
	for _, name := range s.o.Files {
		if name == "-" {
			s.total = 0
			if s.o.Resume {
				return &UsageError{"standard input cannot be resumed; leave --resume out, or send a file"}
			}
			return nil
		}
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("%w; name files that can be read, or - for standard input", err)
		}
		if info.IsDir() {
			return &UsageError{name + " is a folder; name the files in it"}
		}
		s.total += info.Size()
	}
	return nil
}

func (s *sender) file(ctx context.Context, name string) (err error) {
	in := s.o.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 64<<10)
	format, err := chooseFormat(s.o.Format, name, r)
	if err != nil {
		return err
	}
	s.name, s.digest, s.batch = name, sha256.New(), batch{}
	if s.state, err = s.begin(format.Name); err != nil {
		return err
	}
	all := format.open(r)
	if c, ok := all.(io.Closer); ok {
		defer c.Close()
	}
	s.source = cmp.Or(s.o.Source, format.source)
	if err := s.skip(ctx, all); err != nil {
		return err
	}
	if err := s.stream(ctx, all); err != nil {
		return err
	}
	s.before += s.state.Offset
	return s.state.remove()
}

// stream sends what all still gives.
func (s *sender) stream(ctx context.Context, all items) error {
	for {
		it, err := all.next()
		if err != nil {
			if failed := s.flush(ctx); failed != nil {
				return failed
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%s: %w; what stood before it was sent: mend the file, then send it again", s.name, err)
		}
		raw := it.raw
		if s.source != "" && it.bad == "" {
			raw = withSource(raw, s.source)
		}
		if len(raw) > maxItem && it.bad == "" {
			it.bad = "is longer than 4 MiB"
		}
		if !s.batch.room(raw, it) {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		s.note(it)
		s.batch.add(raw, it)
	}
}

// note takes an item into the digest by which a resumed call knows the file.
func (s *sender) note(it item) {
	s.digest.Write(it.raw)
	s.digest.Write([]byte{'\n'})
}

// flush sends the batch and makes what came of it part of the state.
func (s *sender) flush(ctx context.Context) error {
	b := &s.batch
	if b.empty() {
		return nil
	}
	rejects := b.bad
	if len(b.places) > 0 {
		s.result.Batches++
		refused, err := s.post(ctx, b.body, b.ends, b.places)
		if err != nil {
			return err
		}
		rejects = merge(rejects, refused)
	}
	accepted := b.count() - int64(len(rejects))
	s.result.Accepted += accepted
	s.result.Rejected += int64(len(rejects))
	s.result.Bytes += b.end - s.state.Offset
	for _, r := range rejects {
		s.result.Rejects = addReject(s.result.Rejects, s.reject(r))
		s.state.Rejects = addReject(s.state.Rejects, s.reject(r))
	}
	st := s.state
	st.Offset, st.Items, st.Digest = b.end, st.Items+b.count(), hex.EncodeToString(s.digest.Sum(nil))
	st.Accepted, st.Rejected = st.Accepted+accepted, st.Rejected+int64(len(rejects))
	if err := st.keep(); err != nil {
		return err
	}
	b.reset()
	s.progress("")
	return nil
}

func addReject(all []SendReject, r SendReject) []SendReject {
	if len(all) < maxRejects {
		all = append(all, r)
	}
	return all
}

func (s *sender) reject(r refused) SendReject {
	return SendReject{File: s.name, Index: r.index, Line: r.line, Error: r.why}
}

func (s *sender) progress(waiting string) {
	if s.o.Progress == nil {
		return
	}
	p := SendProgress{Total: s.total, Accepted: s.result.Accepted, Rejected: s.result.Rejected, Waiting: waiting, Bytes: s.before}
	if s.state != nil {
		p.Bytes += s.state.Offset
	}
	s.o.Progress(p)
}

func (s *sender) waiting(cause error, wait time.Duration) {
	s.progress(fmt.Sprintf("%v (next try in %v)", cause, wait.Round(100*time.Millisecond)))
}

// post sends one batch and gives those of it that were refused. A batch that is
// too large for the hub is sent in halves.
func (s *sender) post(ctx context.Context, body []byte, ends []int, places []place) ([]refused, error) {
	answer, err := s.o.Client.Do(ctx, Call{
		Method: http.MethodPost, Path: "/findings/batch", Body: body, Type: "application/x-ndjson",
		Header: http.Header{"Idempotency-Key": {idempotencyKey(places[0], body)}},
	})
	var problem *APIError
	if errors.As(err, &problem) {
		switch {
		case problem.Status == http.StatusUnprocessableEntity:
			return allRefused(problem, places), nil
		case problem.Status == http.StatusRequestEntityTooLarge && len(places) == 1:
			return []refused{{places[0], problem.Error()}}, nil
		case problem.Status == http.StatusRequestEntityTooLarge:
			return s.halves(ctx, body, ends, places)
		}
	}
	if err != nil {
		return nil, err
	}
	return readRefused(answer.Body, places)
}

func (s *sender) halves(ctx context.Context, body []byte, ends []int, places []place) ([]refused, error) {
	mid := len(places) / 2
	cut := ends[mid-1]
	first, err := s.post(ctx, body[:cut], ends[:mid], places[:mid])
	if err != nil {
		return nil, err
	}
	shifted := make([]int, len(ends)-mid)
	for i, e := range ends[mid:] {
		shifted[i] = e - cut
	}
	second, err := s.post(ctx, body[cut:], shifted, places[mid:])
	return append(first, second...), err
}

// idempotencyKey names a batch by where it begins and what it says.
func idempotencyKey(first place, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "tocsin send\n%d\n", first.index)
	h.Write(body)
	return "send-" + hex.EncodeToString(h.Sum(nil))
}

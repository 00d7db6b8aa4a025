package ops

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/internal/durable"
)

// stateSuffix is what the state file of a file is called.
const stateSuffix = ".tocsin-send"

// stateVersion is the form of the state file. A program that does not know the
// version of one refuses it.
const stateVersion = 1

// A sendState is how far a file was sent. It is written after the hub's answer
// to each batch; a crash in between repeats that one batch, under the same
// Idempotency-Key.
type sendState struct {
	Version int    `json:"version"`
	Hub     string `json:"hub"`
	Format  string `json:"format"`
	Source  string `json:"source,omitempty"`
	Offset  int64  `json:"offset"` // behind the last finding that was answered
	Items   int64  `json:"items"`
	Digest  string `json:"digest"` // of those findings

	Accepted int64        `json:"accepted"`
	Rejected int64        `json:"rejected"`
	Rejects  []SendReject `json:"rejects,omitempty"`

	path string // "" to keep none
}

// begin gives the state to go on from: that of an earlier call, or a new one.
func (s *sender) begin(format string) (*sendState, error) {
	fresh := &sendState{Version: stateVersion, Hub: s.o.Client.base.Redacted(), Format: format, Source: s.o.Source}
	if !s.o.Resume {
		return fresh, nil
	}
	fresh.path = s.name + stateSuffix
	text, err := os.ReadFile(fresh.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	old := &sendState{path: fresh.path}
	if err := json.Unmarshal(text, old); err != nil || old.Version != stateVersion {
		return nil, fmt.Errorf("%s is no state that this program can read; remove it to send the whole file", old.path)
	}
	if old.Hub != fresh.Hub || old.Format != format || old.Source != s.o.Source {
		return nil, fmt.Errorf("%s was kept for %s with --format %s --source %q; repeat that call, or remove it to send the whole file", old.path, old.Hub, old.Format, old.Source)
	}
	return old, nil
}

// skip passes over what an earlier call has sent. The file is read again up to
// there, which any format can do and which shows that it is still the same.
func (s *sender) skip(ctx context.Context, all items) error {
	st := s.state
	for n := int64(0); n < st.Items; n++ {
		it, err := all.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil || ctx.Err() != nil {
			break
		}
		s.note(it)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if st.Items > 0 && hex.EncodeToString(s.digest.Sum(nil)) != st.Digest {
		return fmt.Errorf("%s is not what it was when a part of it was sent; remove %s to send the whole file", s.name, st.path)
	}
	s.result.Accepted += st.Accepted
	s.result.Rejected += st.Rejected
	s.result.Resumed += st.Items
	for _, r := range st.Rejects {
		s.result.Rejects = addReject(s.result.Rejects, r)
	}
	return nil
}

func (st *sendState) keep() error {
	if st.path == "" {
		return nil
	}
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return durable.WriteFile(st.path, append(text, '\n'), durable.Private)
}

func (st *sendState) remove() error {
	if st.path == "" {
		return nil
	}
	if err := os.Remove(st.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("everything was sent, but %w; remove it by hand", err)
	}
	return nil
}

package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin/tocsin/hub"
)

// A Checkpoint says what a log was at one size. Signed, it is a note as C2SP
// describes it: three lines, an empty one, signatures.
type Checkpoint struct {
	Log  string   // the name of the log
	Size int64    // how many entries it had
	Root [32]byte // root of the RFC 6962 tree over them
}

// Text is what is signed.
func (c Checkpoint) Text() string {
	return c.Log + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

var errCheckpoint = errors.New("this is no checkpoint: it wants a line each for log, size and root, an empty line and a signature")

// ParseCheckpoint reads a signed checkpoint without looking at the signatures.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	lines := strings.SplitN(string(signed), "\n", 5)
	if len(lines) != 5 || lines[3] != "" || lines[0] == "" {
		return Checkpoint{}, errCheckpoint
	}
	c := Checkpoint{Log: lines[0]}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 {
		return Checkpoint{}, errCheckpoint
	}
	sum, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(sum) != len(c.Root) {
		return Checkpoint{}, errCheckpoint
	}
	copy(c.Root[:], sum)
	// One text only for one checkpoint: no leading zeros, no loose base64.
	if !strings.HasPrefix(string(signed), c.Text()) {
		return Checkpoint{}, errCheckpoint
	}
	return c, nil
}

// OpenCheckpoint reads a checkpoint that one of the keys must have signed.
// Signatures by others are passed over.
func OpenCheckpoint(signed []byte, keys ...ed25519.PublicKey) (Checkpoint, error) {
	c, err := ParseCheckpoint(signed)
	if err != nil {
		return c, err
	}
	known := make([]note.Verifier, 0, len(keys))
	for _, key := range keys {
		v, err := verifier(c.Log, key)
		if err != nil {
			return c, err
		}
		known = append(known, v)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		return c, fmt.Errorf("checkpoint of size %d: %w", c.Size, err)
	}
	if n.Text != c.Text() || !strictSignatures(signed[len(n.Text)+1:]) {
		return c, errCheckpoint
	}
	return c, nil
}

// strictSignatures reports whether the lines hold base64 without loose bits,
// which the note package overlooks: no bit of a checkpoint may be changed.
func strictSignatures(lines []byte) bool {
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		_, err := base64.StdEncoding.Strict().DecodeString(string(line[bytes.LastIndexByte(line, ' ')+1:]))
		if err != nil {
			return false
		}
	}
	return true
}

func verifier(log string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(log, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// CheckHead tells what is wrong with a head as it was stored: its note must be
// signed by one of the keys and say what the head says. A hub calls it before it
// writes behind the head.
func CheckHead(h hub.AuditHead, keys ...ed25519.PublicKey) error {
	if h.Size == 0 && len(h.Frontier) == 0 && len(h.Note) == 0 {
		return nil
	}
	if err := checkShape(h); err != nil {
		return err
	}
	c, err := OpenCheckpoint(h.Note, keys...)
	if err != nil {
		return err
	}
	if want := (Checkpoint{Log: h.Log, Size: h.Size, Root: root(h.Frontier)}); c != want {
		return fmt.Errorf("the head of audit log %s at %d does not match its checkpoint at %d", h.Log, h.Size, c.Size)
	}
	return nil
}

// checkShape refuses heads that cannot be.
func checkShape(h hub.AuditHead) error {
	switch {
	case h.Size < 0 || h.Size > maxInt || len(h.Frontier) != frontierLen(h.Size):
		return fmt.Errorf("the head of audit log %s has size %d and %d subtrees", h.Log, h.Size, len(h.Frontier))
	case !validName(h.Log):
		return fmt.Errorf("%q cannot be the name of an audit log", h.Log)
	case len(h.Tenant) > maxName:
		return fmt.Errorf("the name of tenant %.40q… is too long for an audit log", h.Tenant)
	}
	return nil
}

// validName reports whether a note can be signed in the name.
func validName(log string) bool {
	if log == "" || len(log) > maxName {
		return false
	}
	for _, c := range []byte(log) {
		if c <= ' ' || c >= 0x7F || c == '+' {
			return false
		}
	}
	return true
}

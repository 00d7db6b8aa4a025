package ops

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/configs"
	"github.com/tocsin/tocsin/hub"
)

// AuditOptions name an audit log that lies on disk, and what it is compared
// with. One of Data, Store and File is given, or Data beside Store.
type AuditOptions struct {
	Data  string // a hub's data folder; beside Store where its key and checkpoints are
	Store string // sqlite:PATH or postgres://…, as store.url of the configuration
	File  string // an export; "-" is Stdin
	Stdin io.Reader

	// Checkpoint is a file of checkpoints that were kept outside the log; "" for
	// the one in the data folder, if it is there.
	Checkpoint string
	// Key is the public key: a file that holds it, or its text; "" for the one in
	// the data folder, or for an export the one that comes with it.
	Key    string
	Tenant hub.TenantID

	// Progress is told how many entries were read, of how many; 0 if unknown. It
	// may be nil.
	Progress func(done, total int64)
}

// folder gives where the key and the checkpoints lie, "" if nowhere, and the
// database: a path or a URL. Both are "" for an export.
func (o *AuditOptions) folder() (dir, database string, err error) {
	switch {
	case o.File != "":
		return "", "", nil
	case isPostgres(o.Store):
		return o.Data, o.Store, nil
	case o.Store != "":
		path, ok := strings.CutPrefix(o.Store, "sqlite:")
		if !ok {
			return "", "", &UsageError{fmt.Sprintf("--store %s is not known; give sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE", o.Store)}
		}
		return cmp.Or(o.Data, filepath.Dir(path)), path, nil
	}
	c := configs.Config{Store: configs.Store{Dir: o.Data}}
	return o.Data, c.Store.File(), nil
}

// Verify checks the log offline. A hub may run on the same data meanwhile.
// What keeps it from reading is in the report; the error is for options that
// cannot be.
func Verify(ctx context.Context, o AuditOptions) (audit.Report, error) {
	dir, database, err := o.folder()
	if err != nil {
		return audit.Report{}, err
	}
	// The checkpoints first: read after the log, they could be newer than it.
	notes, err := o.checkpoints(dir)
	if err != nil {
		return unreadable(err), nil
	}
	keys, err := o.keys(dir)
	if err != nil {
		return unreadable(err), nil
	}
	opts := audit.Options{Keys: keys}
	if o.File != "" {
		return o.verifyFile(ctx, opts, notes), nil
	}
	l, err := openLog(ctx, database, o.Tenant)
	if err != nil {
		return unreadable(err), nil
	}
	defer func() { _ = l.close() }() // it was only read
	opts.Log, opts.Checkpoints = audit.OfLog(notes, o.Tenant, l.head.Log)
	if l.empty && len(opts.Checkpoints) == 0 {
		return unreadable(fmt.Errorf("there is no audit log of tenant %s in this database; name another with --tenant", o.Tenant)), nil
	}
	if o.Progress != nil {
		opts.Progress = func(n int64) { o.Progress(n, l.head.Size) }
	}
	report := audit.Verify(ctx, l, opts)
	report.JudgeHead(l.head)
	return report, nil
}

func (o *AuditOptions) verifyFile(ctx context.Context, opts audit.Options, notes [][]byte) audit.Report {
	in := o.Stdin
	if o.File != "-" {
		f, err := os.Open(o.File)
		if err != nil {
			return unreadable(fmt.Errorf("%w; name an export that can be read", err))
		}
		defer f.Close()
		in = f
	}
	if opts.Checkpoints = notes; len(audit.ByLog(notes)) > 1 {
		_, opts.Checkpoints = audit.OfLog(notes, o.Tenant, "")
	}
	if o.Progress != nil {
		opts.Progress = func(n int64) { o.Progress(n, 0) }
	}
	return audit.VerifyFile(ctx, in, opts)
}

func unreadable(err error) audit.Report {
	return audit.Report{Verdict: audit.Unreadable, Error: err.Error()}
}

// keys gives the public key to believe; none if there is none to be had.
func (o *AuditOptions) keys(dir string) ([]ed25519.PublicKey, error) {
	if o.Key != "" {
		return publicKey(o.Key)
	}
	if dir == "" {
		return nil, nil
	}
	private, err := audit.LoadKey(filepath.Join(dir, "audit.key"))
	if err == nil {
		return []ed25519.PublicKey{private.Public()}, nil
	}
	public := filepath.Join(dir, "audit.pub")
	if _, statErr := os.Stat(public); statErr == nil {
		return publicKey(public)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return nil, err
}

// publicKey reads a key from a file of that name, or else from the text itself.
func publicKey(given string) ([]ed25519.PublicKey, error) {
	text, err := os.ReadFile(given)
	if err != nil {
		text = []byte(given)
	}
	key, err := audit.ParsePublicKey(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("--key: %w; give the text of audit.pub, or the path of such a file", err)
	}
	return []ed25519.PublicKey{key}, nil
}

// checkpoints reads those kept outside the log.
func (o *AuditOptions) checkpoints(dir string) ([][]byte, error) {
	path := o.Checkpoint
	if path == "" {
		if dir == "" {
			return nil, nil
		}
		c := configs.Config{Store: configs.Store{Dir: dir}}
		path = c.CheckpointFile()
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && o.Checkpoint == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w; name a file of checkpoints that can be read", err)
	}
	notes := SplitCheckpoints(string(text))
	if len(notes) == 0 && o.Checkpoint != "" {
		return nil, fmt.Errorf("%s holds no checkpoint; give the answer of GET /api/v1/audit/checkpoint, or a hub's audit.checkpoints", path)
	}
	return notes, nil
}

// SplitCheckpoints cuts a file into its signed notes. A note is text, an empty line,
// and signatures, which begin with a dash. One at the end without a line's end
// was cut short by a crash while it was appended, and is left out unless it is
// the only one.
func SplitCheckpoints(text string) [][]byte {
	var notes [][]byte
	var note strings.Builder
	signed := false
	end := func() {
		if signed {
			notes = append(notes, []byte(note.String()))
		}
		note.Reset()
		signed = false
	}
	for line := range strings.Lines(text) {
		isSignature := strings.HasPrefix(line, "— ")
		if signed && !isSignature {
			end()
		}
		if note.Len() == 0 && strings.TrimSpace(line) == "" {
			continue
		}
		if isSignature && !strings.HasSuffix(line, "\n") {
			if len(notes) > 0 {
				continue
			}
			line += "\n"
		}
		signed = signed || isSignature
		note.WriteString(line)
	}
	end()
	return notes
}

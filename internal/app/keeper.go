package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/tocsin/tocsin/audit"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ops"
	"github.com/tocsin/tocsin/internal/store"
)

// A keeper copies checkpoints of the audit log to a file outside the database,
// to which it only appends. What the database's owner rewrites afterwards
// disagrees with the file; what is newer than its last line is exposed, which is
// what the interval bounds.
//
// The file is a list of signed notes, an empty line between two.
type keeper struct {
	path    string
	st      *store.Store
	key     *audit.Key
	log     *slog.Logger
	every   time.Duration
	entries int64

	kept map[hub.TenantID]int64 // size at the last copy; owned by run
}

// readCheckpoints reads the checkpoints kept in a file; none if there is none.
func readCheckpoints(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ops.SplitCheckpoints(string(b)), nil
}

// compare refuses a database whose audit log is older than a checkpoint kept
// outside: an old copy was put back, and going on would fork the log.
func (k *keeper) compare(ctx context.Context) error {
	notes, err := readCheckpoints(k.path)
	if err != nil {
		return err
	}
	newest := map[string]audit.Checkpoint{}
	for _, n := range notes {
		c, err := audit.OpenCheckpoint(n, k.key.Public())
		if err != nil {
			continue // of an earlier key, or cut short by a crash; audit verify tells
		}
		if c.Size >= newest[c.Log].Size {
			newest[c.Log] = c
		}
	}
	return k.st.View(ctx, func(r *store.Reader) error {
		for log, c := range newest {
			head, err := r.AuditHeadByLog(log)
			if err != nil {
				return err
			}
			if head.Size < c.Size {
				return fmt.Errorf("the audit log %s has %d entries, but %s holds a checkpoint of %d: an older copy of the database was put in place, and going on would fork the log; restore the newer database, or move the file of checkpoints away to accept the loss",
					log, head.Size, k.path, c.Size)
			}
		}
		return nil
	})
}

// run copies checkpoints until ctx ends, and once more then.
func (k *keeper) run(ctx context.Context) {
	k.kept = map[hub.TenantID]int64{}
	tick := time.NewTicker(min(k.every, time.Second))
	defer tick.Stop()
	last := time.Time{}
	for {
		select {
		case <-ctx.Done():
			k.copy(context.WithoutCancel(ctx), 1)
			return
		case <-tick.C:
		}
		least := k.entries
		if time.Since(last) >= k.every {
			least, last = 1, time.Now()
		}
		k.copy(ctx, least)
	}
}

// copy appends the checkpoints of logs that grew by at least so many entries.
func (k *keeper) copy(ctx context.Context, least int64) {
	var heads []hub.AuditHead
	err := k.st.View(ctx, func(r *store.Reader) (err error) {
		heads, err = r.AuditHeads()
		return err
	})
	for i := 0; i < len(heads) && err == nil; i++ {
		if h := &heads[i]; h.Size-k.kept[h.Tenant] >= least && h.Size > 0 {
			if err = k.append(h.Note); err == nil {
				k.kept[h.Tenant] = h.Size
			}
		}
	}
	if err != nil {
		k.log.Error("audit checkpoint not kept outside the database", "file", k.path, "error", err)
	}
}

func (k *keeper) append(note []byte) error {
	f, err := os.OpenFile(k.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(bytes.Clone(note), '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

package ops

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin/tocsin/audit"
)

// ExportAudit writes a log that lies on disk to w in one of the formats json,
// csv and ndjson. A hub may run on the same data meanwhile.
func ExportAudit(ctx context.Context, o AuditOptions, format string, w io.Writer) error {
	if o.File != "" {
		return &UsageError{"an export is exported already; name a data folder with --data"}
	}
	dir, database, err := o.folder()
	if err != nil {
		return err
	}
	keys, err := o.keys(dir)
	if err != nil {
		return err
	}
	l, err := openLog(ctx, database, o.Tenant)
	if err != nil {
		return err
	}
	if l.empty {
		return errors.Join(fmt.Errorf("there is no audit log of tenant %s in %s; name another with --tenant", o.Tenant, database), l.close())
	}
	header := audit.Header{Note: l.head.Note}
	if len(keys) > 0 {
		if header.Key, err = note.NewEd25519VerifierKey(l.head.Log, keys[0]); err != nil {
			return errors.Join(err, l.close())
		}
	}
	return errors.Join(writeLog(ctx, l, audit.Format(format), header, o.Progress, w), l.close())
}

func writeLog(ctx context.Context, l *storedLog, format audit.Format, header audit.Header, progress func(done, total int64), w io.Writer) error {
	x, err := audit.NewWriter(w, format, header)
	if err != nil {
		return err
	}
	n := int64(0)
	for e, err := range l.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		if err := x.Write(e); err != nil {
			return fmt.Errorf("entry %d: %w; tocsin audit verify tells whether the log was changed", e.Sequence, err)
		}
		if n++; progress != nil && n%4096 == 0 {
			progress(n, l.head.Size)
		}
	}
	return x.Close()
}

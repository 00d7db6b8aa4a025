package embedded

import (
	"context"
	"time"

	"github.com/tocsin/tocsin/internal/store"
)

const (
	// flushEvery and flushCount bound what comes again after a crash.
	flushEvery = 50 * time.Millisecond
	flushCount = 1000
)

// progressed says that one more message is done.
func (b *Bus) progressed() {
	wake := b.dirty
	if b.finished.Add(1)%flushCount == 0 {
		wake = b.urgent
	}
	select {
	case wake <- struct{}{}:
	default:
	}
}

// keepOffsets stores the progress of the groups a little after there is some.
func (b *Bus) keepOffsets() {
	for {
		select {
		case <-b.dirty:
			b.linger()
		case <-b.urgent:
		case <-b.ctx.Done():
			return
		}
		if err := b.flush(b.ctx); err != nil && b.ctx.Err() == nil {
			b.log.Warn("storing the progress of the bus failed; trying again", "error", err)
			pause(rereadAfter, b.ctx.Done())
			b.progressed()
		}
	}
}

// linger waits for more progress.
func (b *Bus) linger() {
	t := time.NewTimer(flushEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.urgent:
	case <-b.ctx.Done():
	}
}

// flush stores the progress of all groups in one transaction.
func (b *Bus) flush(ctx context.Context) error {
	b.flushing.Lock()
	defer b.flushing.Unlock()
	var rows []store.ConsumerRow
	now := time.Now()
	for _, t := range *b.topics.Load() {
		for _, g := range *t.groups.Load() {
			rows = g.progress(rows, now)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	err := b.st.Do(ctx, func(tx *store.Tx) error {
		for _, r := range rows {
			if err := tx.PutConsumer(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		b.stored(rows)
	}
	return err
}

// stored notes what was stored. Bus.flushing is held.
func (b *Bus) stored(rows []store.ConsumerRow) {
	for _, t := range *b.topics.Load() {
		for _, g := range *t.groups.Load() {
			for _, r := range rows {
				if r.Topic == t.row.No && r.Group == g.name {
					g.cursors[r.Partition].stored = r.Pos
				}
			}
		}
	}
}

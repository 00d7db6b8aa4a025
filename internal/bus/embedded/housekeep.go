package embedded

import (
	"time"

	"github.com/tocsin/tocsin/internal/store"
)

const (
	// cleanChunk is how many messages are removed in one transaction; that takes
	// a few milliseconds.
	cleanChunk = 500
	// recheckEvery is how often the bus asks whether a transaction failed.
	recheckEvery = time.Second
)

// housekeep looks after what nobody else would notice.
func (b *Bus) housekeep() {
	clean, recheck := time.NewTicker(b.opts.CleanEvery), time.NewTicker(recheckEvery)
	defer clean.Stop()
	defer recheck.Stop()
	failed := b.st.Stats().Failed.Load()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-clean.C:
			b.clean()
		case <-recheck.C:
			failed = b.recheck(failed)
		}
	}
}

// recheck looks for messages of commits whose answer was lost: they are stored,
// but nobody was told.
func (b *Bus) recheck(failed int64) int64 {
	now := b.st.Stats().Failed.Load()
	if now == failed || b.st.Health() != nil {
		return failed
	}
	for _, t := range *b.topics.Load() {
		if err := b.st.View(b.ctx, t.load); err != nil {
			return failed
		}
		t.wake()
	}
	return now
}

// clean removes messages past their time.
func (b *Bus) clean() {
	for _, t := range *b.topics.Load() {
		if err := t.clean(time.Now()); err != nil && b.ctx.Err() == nil {
			b.log.Warn("removing old messages failed; trying again later", "topic", t.row.Name, "error", err)
		}
	}
}

func (t *topic) clean(now time.Time) error {
	var groups []store.ConsumerRow
	err := t.bus.st.View(t.bus.ctx, func(r *store.Reader) (err error) {
		groups, err = r.Consumers(t.row.No)
		return err
	})
	if err != nil {
		return err
	}
	before := now.Add(-t.opts.Retain)
	if len(groups) == 0 && t.opts.Retain < t.bus.opts.GroupExpiry {
		before = now.Add(-t.bus.opts.GroupExpiry) // someone may still come for them
	}
	for i, p := range t.parts {
		if err := t.cleanPartition(p, t.held(groups, i, now), before); err != nil {
			return err
		}
	}
	return nil
}

// held gives the place up to which every group is done, by what is stored. A
// group that has been away for long does not count.
func (t *topic) held(groups []store.ConsumerRow, partition int, now time.Time) int64 {
	end := t.parts[partition].head.Load()
	for _, g := range groups {
		if g.Partition != partition {
			continue
		}
		if t.group(g.Group) == nil && now.Sub(g.At) > t.bus.opts.GroupExpiry {
			continue
		}
		end = min(end, g.Pos)
	}
	return end
}

func (t *topic) cleanPartition(p *partition, end int64, before time.Time) error {
	for t.bus.ctx.Err() == nil {
		n := int64(0)
		err := t.bus.st.Do(t.bus.ctx, func(tx *store.Tx) (err error) {
			n, err = tx.DeleteMessages(p.base, end, before, cleanChunk)
			return err
		})
		if err != nil || n < cleanChunk {
			return err
		}
	}
	return nil
}

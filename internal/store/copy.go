package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/store/driver"
)

// A BusPlan says how a database keeps messages that somebody has yet to handle.
type BusPlan struct {
	// Topics are those that there are to be, with one partition each.
	Topics []string
	// Place says in which of them a message goes that waited in a topic of the
	// source, and may change its headers.
	Place func(topic string, m *MessageRow) (to string, err error)
	// More gives messages that are older than those that the source holds; nil if
	// there are none.
	More func(ctx context.Context, yield func(topic string, m *MessageRow) error) error
}

// A TableCount says how many rows of a table were carried over.
type TableCount struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// A CopyReport says what was carried over.
type CopyReport struct {
	Tables   []TableCount     `json:"tables"`
	Rows     int64            `json:"rows"`
	Messages map[string]int64 `json:"messages"` // that wait to be handled, by topic of the source
}

// busTables hold the bus, and leaseTable who works on what: neither is carried
// over row by row.
var busTables = []string{"topics", "messages", "consumers"}

const leaseTable = "leases"

// busCounter reports whether a counter belongs to the bus.
func busCounter(name string) bool { return strings.HasPrefix(name, "bus.") || name == "topics.no" }

// Copy carries everything over from one database to another and reads it back:
// each table must have the same rows there. Messages that wait to be handled go
// where plan says. It is for the caller to commit.
//
// progress is told how many rows were written or read back, of how many; it may
// be nil.
func Copy(ctx context.Context, from driver.Dump, to driver.Load, plan BusPlan, progress func(done, total int64, table string)) (*CopyReport, error) {
	c := &copying{ctx: ctx, from: from, to: to, plan: plan, progress: progress, report: &CopyReport{Messages: map[string]int64{}}}
	tables, err := c.tables()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if err := c.table(t); err != nil {
			return nil, err
		}
	}
	if err := c.bus(); err != nil {
		return nil, err
	}
	// What was being sent when the source stopped is due: its sender is gone.
	_, err = to.Exec(giveBack, []any{hub.Micros(time.Now())})
	return c.report, err
}

type copying struct {
	ctx      context.Context
	from     driver.Dump
	to       driver.Load
	plan     BusPlan
	progress func(done, total int64, table string)
	report   *CopyReport

	done, total int64
}

// tables gives those that are carried over, which both must have alike.
func (c *copying) tables() ([]driver.Table, error) {
	from, err := c.from.Tables()
	if err != nil {
		return nil, err
	}
	to, err := c.to.Tables()
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(from, to, func(a, b driver.Table) bool { return a.Name == b.Name && slices.Equal(a.Columns, b.Columns) }) {
		return nil, fmt.Errorf("the two databases do not have the same tables: %s; bring both up to date with tocsin migrate", unlike(from, to))
	}
	tables := slices.DeleteFunc(from, func(t driver.Table) bool { return t.Name == leaseTable || slices.Contains(busTables, t.Name) })
	for _, t := range tables {
		err := c.from.Query("SELECT count(*) FROM "+t.Name, nil, func(v []any) error {
			c.total += 2 * v[0].(int64)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// unlike names the first table that differs.
func unlike(a, b []driver.Table) string {
	for i := range a {
		if i >= len(b) || a[i].Name != b[i].Name || !slices.Equal(a[i].Columns, b[i].Columns) {
			return a[i].Name
		}
	}
	return b[len(a)].Name
}

// A tally is a count of rows and a sum over them that does not depend on their
// order.
type tally struct {
	rows int64
	sum  [4]uint64
}

// add takes a row in, and needs room to write it down.
func (t *tally) add(values []any, room []byte) []byte {
	b := room[:0]
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, 0)
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 1), uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 2), math.Float64bits(v))
		case string:
			b = append(binary.BigEndian.AppendUint64(append(b, 3), uint64(len(v))), v...)
		case []byte:
			b = append(binary.BigEndian.AppendUint64(append(b, 4), uint64(len(v))), v...)
		}
	}
	hash := sha256.Sum256(b)
	for i := range t.sum {
		t.sum[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
	t.rows++
	return b
}

// table carries one table over and reads it back.
func (c *copying) table(t driver.Table) error {
	var read, back tally
	var room []byte
	name := slices.Index(t.Columns, "name")
	err := c.to.Put(c.ctx, t, func(put func([]any) error) error {
		return c.from.Each(c.ctx, t, func(values []any) error {
			c.step(t.Name)
			if t.Name == "counters" && busCounter(values[name].(string)) {
				c.step(t.Name) // it is not read back
				return nil
			}
			room = read.add(values, room)
			return put(values)
		})
	})
	if err != nil {
		return err
	}
	err = c.to.Each(c.ctx, t, func(values []any) error {
		c.step(t.Name)
		room = back.add(values, room)
		return nil
	})
	if err != nil {
		return err
	}
	if read != back {
		return fmt.Errorf("%s did not arrive as it was: %d rows were read and %d are there, or their contents differ", t.Name, read.rows, back.rows)
	}
	c.report.Tables = append(c.report.Tables, TableCount{t.Name, read.rows})
	c.report.Rows += read.rows
	return nil
}

// step tells of a row.
func (c *copying) step(table string) {
	c.done++
	if c.progress != nil && c.done%1024 == 0 {
		c.progress(c.done, max(c.total, c.done), table)
	}
}

// bus carries over what somebody has yet to handle.
func (c *copying) bus() error {
	ends := make([]int64, len(c.plan.Topics))
	rows := func(put func([]any) error) error {
		take := func(topic string, m *MessageRow) error {
			c.report.Messages[topic]++
			name, err := c.plan.Place(topic, m)
			if err != nil {
				return err
			}
			i := slices.Index(c.plan.Topics, name)
			if i < 0 {
				return fmt.Errorf("there is no place for messages of topic %s", topic)
			}
			ends[i]++
			if m.Payload == nil {
				m.Payload = []byte{}
			}
			return put([]any{m.At, m.Headers, m.ID, m.Key, m.Payload, Position(int64(i+1), 0, ends[i]), m.Tenant})
		}
		if c.plan.More != nil { // these came before those that still wait in the source
			if err := c.plan.More(c.ctx, take); err != nil {
				return err
			}
		}
		return (&Reader{q: c.from}).unread(take)
	}
	err := c.to.Put(c.ctx, driver.Table{Name: "messages", Columns: []string{"at", "headers", "id", "key", "payload", "pos", "tenant"}}, rows)
	if err != nil {
		return err
	}
	const put = "INSERT INTO counters (name, value) VALUES ($1, $2)"
	for i, name := range c.plan.Topics {
		no := int64(i + 1)
		if _, err := c.to.Exec("INSERT INTO topics (name, no, partitions) VALUES ($1, $2, 1)", []any{name, no}); err != nil {
			return err
		}
		if _, err := c.to.Exec(put, []any{fmt.Sprintf("bus.%d.0", no), ends[i]}); err != nil {
			return err
		}
	}
	_, err = c.to.Exec(put, []any{"topics.no", int64(len(c.plan.Topics))})
	return err
}

// unread gives the messages of each topic that a group has not done, in their
// order; of a topic that no group reads, all.
func (r *Reader) unread(yield func(topic string, m *MessageRow) error) error {
	const chunk = 500
	topics, err := r.Topics()
	if err != nil {
		return err
	}
	for _, t := range topics {
		groups, err := r.Consumers(t.No)
		if err != nil {
			return err
		}
		for part := range t.Partitions {
			after, end := unreadFrom(t.No, part, groups), Position(t.No, part+1, 0)
			for n := chunk; n == chunk; {
				var rows []*MessageRow
				err := r.Messages(after, end, chunk, func(m *MessageRow) bool {
					rows = append(rows, m)
					return true
				})
				if err != nil {
					return err
				}
				for n = len(rows); len(rows) > 0; rows = rows[1:] {
					after = rows[0].Pos
					if err := yield(t.Name, rows[0]); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// unreadFrom gives the place up to which every group of a topic has done its
// work in a partition.
func unreadFrom(topic int64, part int, groups []ConsumerRow) int64 {
	base, done := Position(topic, part, 0), map[string]int64{}
	for _, g := range groups {
		if _, known := done[g.Group]; !known {
			done[g.Group] = base
		}
		if g.Partition == part {
			done[g.Group] = max(base, g.Pos)
		}
	}
	from := int64(math.MaxInt64)
	for _, pos := range done {
		from = min(from, pos)
	}
	if len(done) == 0 {
		return base
	}
	return from
}

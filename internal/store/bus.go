package store

import (
	"errors"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// MaxPartitions is how many partitions a topic can have.
const MaxPartitions = 256

// Position is the place of a message of the bus among all: the topic's number,
// the partition and the offset in it, so that the messages of a partition lie
// side by side. Offset 0 is the place before the first message.
func Position(topic int64, partition int, offset int64) int64 {
	return topic<<48 | int64(partition)<<40 | offset
}

// A TopicRow is a topic of the bus.
type TopicRow struct {
	Name       string
	No         int64 // from 1
	Partitions int
}

// Topics gives every topic.
func (r *Reader) Topics() ([]TopicRow, error) {
	var all []TopicRow
	err := r.q.Query("SELECT name, no, partitions FROM topics ORDER BY no", nil, func(v []any) error {
		all = append(all, TopicRow{v[0].(string), v[1].(int64), int(v[2].(int64))})
		return nil
	})
	return all, err
}

// OpenTopic gives the topic with the name, and makes it with that many
// partitions if there is none.
func (tx *Tx) OpenTopic(name string, partitions int) (TopicRow, error) {
	t := TopicRow{Name: name, Partitions: partitions}
	found, err := tx.one("SELECT no, partitions FROM topics WHERE name = $1", []any{name}, func(v []any) error {
		t.No, t.Partitions = v[0].(int64), int(v[1].(int64))
		return nil
	})
	if err != nil || found {
		return t, err
	}
	t.No = tx.counter("topics.no", 1)
	err = tx.send("INSERT INTO topics (name, no, partitions) VALUES ($1, $2, $3)", name, t.No, t.Partitions)
	return t, err
}

var messagesTable = &table{"messages", []string{"pos", "tenant", "id", "key", "at", "headers", "payload"}}

// A MessageRow is a message of the bus as it is stored.
type MessageRow struct {
	Pos     int64
	Tenant  string
	ID      string
	Key     string
	At      int64 // microseconds
	Headers string
	Payload []byte
}

// AppendMessage stores a message at the place it names, which must be behind
// all others of its partition: take the offset from [Tx.Counter].
func (tx *Tx) AppendMessage(m *MessageRow) {
	payload := m.Payload
	if payload == nil {
		payload = []byte{}
	}
	tx.appendRow(messagesTable, m.Pos, m.Tenant, m.ID, m.Key, m.At, m.Headers, payload)
}

const messageColumns = "pos, tenant, id, key, at, headers, payload"

func messageRow(v []any) *MessageRow {
	return &MessageRow{v[0].(int64), v[1].(string), v[2].(string), v[3].(string), v[4].(int64), v[5].(string), bytesOf(v[6])}
}

// errEnough ends a query whose caller has what it wanted.
var errEnough = errors.New("enough")

// Messages calls yield for up to limit messages behind after and not behind end,
// in order, until it returns false.
func (r *Reader) Messages(after, end int64, limit int, yield func(*MessageRow) bool) error {
	err := r.q.Query("SELECT "+messageColumns+" FROM messages WHERE pos > $1 AND pos <= $2 ORDER BY pos LIMIT $3",
		[]any{after, end, int64(limit)}, func(v []any) error {
			if !yield(messageRow(v)) {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// FindMessage gives the first of up to limit messages behind after and not
// behind end that has the id; nil if none has.
func (r *Reader) FindMessage(tenant, id string, after, end int64, limit int) (*MessageRow, error) {
	var found *MessageRow
	_, err := r.one("SELECT "+messageColumns+` FROM messages WHERE pos = (SELECT pos FROM
		(SELECT pos, tenant, id FROM messages WHERE pos > $3 AND pos <= $4 ORDER BY pos LIMIT $5) AS part
		WHERE tenant = $1 AND id = $2 LIMIT 1)`,
		[]any{tenant, id, after, end, int64(limit)}, func(v []any) error {
			found = messageRow(v)
			return nil
		})
	return found, err
}

// MessageTime gives the place and time of the first message behind after and not
// behind end; 0 if there is none.
func (r *Reader) MessageTime(after, end int64) (pos, at int64, err error) {
	_, err = r.one("SELECT pos, at FROM messages WHERE pos > $1 AND pos <= $2 ORDER BY pos LIMIT 1", []any{after, end}, func(v []any) error {
		pos, at = v[0].(int64), v[1].(int64)
		return nil
	})
	return pos, at, err
}

// DeleteMessages removes, of the first limit messages behind after and not
// behind end, those stored before a time. It tells how many there were.
func (tx *Tx) DeleteMessages(after, end int64, before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM messages WHERE at < $3 AND pos > $1 AND pos <= (SELECT max(pos) FROM
		(SELECT pos FROM messages WHERE pos > $1 AND pos <= $2 ORDER BY pos LIMIT $4) AS part)`,
		after, end, hub.Micros(before), int64(limit))
}

// DeleteMessage removes one message and tells whether it was there.
func (tx *Tx) DeleteMessage(pos int64) (bool, error) {
	n, err := tx.Exec("DELETE FROM messages WHERE pos = $1", pos)
	return n == 1, err
}

// A ConsumerRow is how far a group has come in a partition.
type ConsumerRow struct {
	Topic     int64
	Group     string
	Partition int
	Pos       int64
	At        time.Time // when the group was last at work
}

// Consumers gives the progress of every group of a topic.
func (r *Reader) Consumers(topic int64) ([]ConsumerRow, error) {
	var all []ConsumerRow
	err := r.q.Query("SELECT grp, part, pos, at FROM consumers WHERE topic = $1 ORDER BY grp, part", []any{topic}, func(v []any) error {
		all = append(all, ConsumerRow{topic, v[0].(string), int(v[1].(int64)), v[2].(int64), hub.FromMicros(v[3].(int64))})
		return nil
	})
	return all, err
}

// PutConsumer stores the progress of a group, which never goes back.
func (tx *Tx) PutConsumer(c ConsumerRow) error {
	return tx.send(`INSERT INTO consumers (topic, grp, part, pos, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (topic, grp, part) DO UPDATE SET pos = excluded.pos, at = excluded.at WHERE excluded.pos >= consumers.pos`,
		c.Topic, c.Group, int64(c.Partition), c.Pos, hub.Micros(c.At))
}

// TouchConsumer says that a group is at work, and stores its progress if there
// is none.
func (tx *Tx) TouchConsumer(c ConsumerRow) error {
	return tx.send(`INSERT INTO consumers (topic, grp, part, pos, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (topic, grp, part) DO UPDATE SET at = excluded.at`,
		c.Topic, c.Group, int64(c.Partition), c.Pos, hub.Micros(c.At))
}

// DeleteConsumer forgets a group of a topic.
func (tx *Tx) DeleteConsumer(topic int64, group string) error {
	return tx.send("DELETE FROM consumers WHERE topic = $1 AND grp = $2", topic, group)
}

// CounterValue gives a counter as it was last committed.
func (r *Reader) CounterValue(name string) (int64, error) {
	var n int64
	_, err := r.one("SELECT value FROM counters WHERE name = $1", []any{name}, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

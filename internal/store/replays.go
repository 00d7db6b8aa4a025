package store

import (
	"fmt"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// PutReplay stores a replay, new or changed.
func (tx *Tx) PutReplay(p *hub.Replay) error {
	return tx.send(`INSERT INTO replays (id, tenant, endpoint, state, place, doc) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, place = excluded.place, doc = excluded.doc`,
		string(p.ID), string(p.Tenant), string(p.Endpoint), string(p.State), string(p.Place), encode(p))
}

func replayRow(v []any) (*hub.Replay, error) {
	p := new(hub.Replay)
	err := decode(bytesOf(v[0]), p)
	p.Place = hub.DeliveryID(v[1].(string))
	return p, err
}

// Replay gives one replay.
func (r *Reader) Replay(tenant hub.TenantID, id hub.ReplayID) (p *hub.Replay, err error) {
	found, err := r.one("SELECT doc, place FROM replays WHERE id = $1 AND tenant = $2", []any{string(id), string(tenant)}, func(v []any) (err error) {
		p, err = replayRow(v)
		return err
	})
	if err == nil && !found {
		err = notFound("replay", id)
	}
	return p, err
}

// Replays gives the newest replays of an endpoint, newest first.
func (r *Reader) Replays(tenant hub.TenantID, endpoint hub.EndpointID, limit int) ([]*hub.Replay, error) {
	return r.replays("SELECT doc, place FROM replays WHERE endpoint = $1 AND tenant = $2 ORDER BY id DESC LIMIT $3", string(endpoint), string(tenant), int64(limit))
}

// RunningReplays gives the replays that are not over, of every tenant.
func (r *Reader) RunningReplays() ([]*hub.Replay, error) {
	return r.replays("SELECT doc, place FROM replays WHERE state = 'running' ORDER BY id")
}

func (r *Reader) replays(query string, args ...any) ([]*hub.Replay, error) {
	var all []*hub.Replay
	err := r.q.Query(query, args, func(v []any) error {
		p, err := replayRow(v)
		all = append(all, p)
		return err
	})
	return all, err
}

// condition tells which deliveries belong to a replay: that a delivery belongs to a replay. What playbooks
// sent is no part of it: a step is not taken twice.
func (p *replayed) condition() *condition {
	c := new(condition)
	c.add("endpoint = ?", string(p.Endpoint))
	c.add("tenant = ?", string(p.Tenant))
	c.add("id > ?", string(max(p.Place, p.first)))
	c.add("id <= ?", string(p.Last))
	c.add("created_at >= ?", hub.Micros(p.Since))
	c.add("created_at < ?", hub.Micros(p.Until))
	c.add("run_id = ?", "")
	types := make([]string, len(p.Events))
	for i, t := range p.Events {
		types[i] = string(t)
	}
	c.in("event_type", types)
	return c
}

type replayed struct {
	*hub.Replay
	first hub.DeliveryID // none before it was made since Since
}

// CountReplay tells how many deliveries a replay is about. first is a delivery id
// before which none of them can be.
func (r *Reader) CountReplay(p *hub.Replay, first hub.DeliveryID) (n int64, err error) {
	c := (&replayed{p, first}).condition()
	c.in("state", p.States)
	_, err = r.one("SELECT count(*) FROM deliveries WHERE "+c.text(), c.args, func(v []any) error {
		n = v[0].(int64)
		return nil
	})
	return n, err
}

// ReplayDeliveries gives up to limit deliveries of a replay behind its place.
func (r *Reader) ReplayDeliveries(p *hub.Replay, first hub.DeliveryID, limit int) ([]hub.Delivery, error) {
	c := (&replayed{p, first}).condition()
	c.in("state", p.States)
	c.args = append(c.args, int64(limit))
	var all []hub.Delivery
	err := r.q.Query(fmt.Sprintf("SELECT %s FROM deliveries WHERE %s ORDER BY id LIMIT %s", deliveryColumns, c.text(), lastParam(c.args)), c.args, func(v []any) error {
		all = append(all, deliveryRow(v))
		return nil
	})
	return all, err
}

// Rearm makes deliveries due again, in their order. What succeeded or is dead
// starts its schedule anew; its attempts go on counting.
func (tx *Tx) Rearm(ids []hub.DeliveryID, now time.Time) error {
	for i, id := range ids {
		err := tx.send(`UPDATE deliveries SET base = CASE WHEN state = 'retrying' THEN base ELSE attempts END, state = 'pending', lease = '`+markReplayed+`', due_at = $2, updated_at = $3, fault = ''
			WHERE id = $1 AND state IN ('succeeded', 'dead', 'retrying')`, string(id), hub.Micros(now)+int64(i), hub.Micros(now))
		if err != nil {
			return err
		}
	}
	return nil
}

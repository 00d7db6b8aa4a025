package store

import (
	"github.com/tocsin/tocsin/hub"
)

const threadColumns = "tenant, endpoint, alert, generation, asked, place, message, summary, version, wanted, delivery, at"

func threadRow(v []any) hub.Posting {
	return hub.Posting{
		Tenant: hub.TenantID(v[0].(string)), Endpoint: hub.EndpointID(v[1].(string)), Alert: hub.AlertID(v[2].(string)), Generation: v[3].(int64),
		Asked: v[4].(string), Place: v[5].(string), Message: v[6].(string), Summary: v[7].(int64) != 0, Version: v[8].(int64), Wanted: v[9].(int64),
		Delivery: hub.DeliveryID(v[10].(string)), At: hub.FromMicros(v[11].(int64)),
	}
}

// PutPosting stores which message stands for a life of an alert, in place of what
// was known. Within one message neither version ever goes back.
func (tx *Tx) PutPosting(p *hub.Posting) error {
	summary := int64(0)
	if p.Summary {
		summary = 1
	}
	return tx.send(putThread, string(p.Tenant), string(p.Endpoint), string(p.Alert), p.Generation, p.Asked, p.Place, p.Message, summary,
		p.Version, max(p.Wanted, p.Version), string(p.Delivery), hub.Micros(p.At))
}

// putThread keeps the newer of two versions, but of a message of its own only.
const putThread = "INSERT INTO threads (" + threadColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
	ON CONFLICT (endpoint, alert, generation) DO UPDATE SET asked = excluded.asked, place = excluded.place, message = excluded.message, summary = excluded.summary,
	version = CASE WHEN threads.message = excluded.message AND threads.version > excluded.version THEN threads.version ELSE excluded.version END,
	wanted = CASE WHEN threads.message = excluded.message AND threads.wanted > excluded.wanted THEN threads.wanted ELSE excluded.wanted END,
	delivery = excluded.delivery, at = excluded.at`

// Postings gives the messages of an endpoint that stand for lives of the alerts,
// of each alert all that there are.
func (r *Reader) Postings(tenant hub.TenantID, endpoint hub.EndpointID, alerts []hub.AlertID) ([]hub.Posting, error) {
	keys := make([]any, len(alerts))
	for i, a := range alerts {
		keys[i] = string(a)
	}
	var all []hub.Posting
	err := queryIn(r, "SELECT "+threadColumns+" FROM threads WHERE tenant = $1 AND endpoint = $2 AND alert IN (?) ORDER BY alert, generation",
		[]any{string(tenant), string(endpoint)}, keys, func(v []any) error {
			all = append(all, threadRow(v))
			return nil
		})
	return all, err
}

// PostingAt gives a life of an alert that a message of an endpoint stands for;
// false if it stands for none.
func (r *Reader) PostingAt(tenant hub.TenantID, endpoint hub.EndpointID, place, message string) (p hub.Posting, found bool, err error) {
	found, err = r.one("SELECT "+threadColumns+" FROM threads WHERE endpoint = $1 AND message = $2 AND place = $3 AND tenant = $4 LIMIT 1",
		[]any{string(endpoint), message, place, string(tenant)}, func(v []any) error {
			p = threadRow(v)
			return nil
		})
	return p, found, err
}

// PostingsBehind gives messages of an endpoint that do not show what they should,
// the longest unchanged first.
func (r *Reader) PostingsBehind(endpoint hub.EndpointID, limit int) ([]hub.Posting, error) {
	var all []hub.Posting
	err := r.q.Query("SELECT "+threadColumns+" FROM threads WHERE endpoint = $1 AND wanted > version ORDER BY at LIMIT $2", []any{string(endpoint), int64(limit)}, func(v []any) error {
		all = append(all, threadRow(v))
		return nil
	})
	return all, err
}

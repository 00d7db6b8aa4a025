package pipelines

import (
	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/ident"
)

// Announce makes an event that is not about an alert, in a transaction of the
// caller's, and sees to what follows from it: playbooks and deliveries.
func (p *Pipeline) Announce(tx Tx, t hub.TenantID, typ hub.EventType, subject string, data hub.EventData) error {
	u := p.newUnit(tx)
	ev := &hub.Event{
		SpecVersion: "1.0", ID: hub.EventID(ident.New(hub.PrefixEvent)), Source: p.opts.Source, Type: typ, Subject: subject,
		Time: u.now, Timestamp: u.now, Tenant: t, Sequence: tx.NextSequence(), Data: data,
	}
	body, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	if err := u.publish(ev, body); err != nil {
		return err
	}
	u.route(ev, body, "")
	if err := u.start(nil, ev, body); err != nil {
		return err
	}
	return u.finish()
}

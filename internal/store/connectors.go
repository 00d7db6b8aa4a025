package store

import (
	"time"

	"github.com/tocsin/tocsin/hub"
)

// A ConnectorRow is what is kept of a connector between runs.
type ConnectorRow struct {
	Cursor []byte
	Paused bool
	At     time.Time // of the last change
}

// Connector gives what is kept of a connector; the zero row if nothing is.
func (r *Reader) Connector(tenant hub.TenantID, name string) (ConnectorRow, error) {
	var row ConnectorRow
	_, err := r.one("SELECT cursor, paused, at FROM connector_state WHERE tenant = $1 AND name = $2", []any{string(tenant), name}, func(v []any) error {
		row = ConnectorRow{bytesOf(v[0]), v[1].(int64) != 0, hub.FromMicros(v[2].(int64))}
		return nil
	})
	return row, err
}

// PutConnector stores what is kept of a connector.
func (tx *Tx) PutConnector(tenant hub.TenantID, name string, row ConnectorRow) error {
	cursor := row.Cursor
	if cursor == nil {
		cursor = []byte{}
	}
	return tx.send(`INSERT INTO connector_state (tenant, name, cursor, paused, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant, name) DO UPDATE SET cursor = excluded.cursor, paused = excluded.paused, at = excluded.at`,
		string(tenant), name, cursor, row.Paused, hub.Micros(row.At))
}

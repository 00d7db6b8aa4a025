package postgres

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// statement gives the prepared form of a text. Preparing takes a way to the
// server and back, once for each text and connection, and what is queued goes
// first.
func (c *conn) statement(query string) (*statement, error) {
	if c.dead != nil {
		return nil, c.dead
	}
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if _, err := c.finish(); err != nil {
		return nil, err
	}
	if len(c.stmts) >= maxStatements {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	c.named++
	s := &statement{name: fmt.Sprint("s", c.named), text: query}
	if err := c.prepare(s); err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) forget() error {
	clear(c.stmts)
	all := &statement{text: "DEALLOCATE ALL"}
	if err := c.prepare(all); err != nil {
		return err
	}
	if err := c.bind(all, nil); err != nil {
		return err
	}
	c.queue = append(c.queue, queued{statement: all})
	_, err := c.finish()
	return err
}

// prepare has the server parse a statement, and learns its types.
func (c *conn) prepare(s *statement) error {
	out, err := (&pgproto3.Parse{Name: s.name, Query: s.text}).Encode(c.out)
	if err == nil {
		out, err = (&pgproto3.Describe{ObjectType: 'S', Name: s.name}).Encode(out)
	}
	if err != nil {
		return err
	}
	c.out = out
	if err := c.flush(); err != nil {
		return err
	}
	for {
		msg, broken := c.pg.Frontend().Receive()
		if broken != nil {
			if err != nil {
				broken = err
			}
			return c.broke(broken)
		}
		switch m := msg.(type) {
		case *pgproto3.ParameterDescription:
			s.params = slices.Clone(m.ParameterOIDs)
		case *pgproto3.RowDescription:
			for i := range m.Fields {
				s.columns = append(s.columns, m.Fields[i].DataTypeOID)
			}
		case *pgproto3.ErrorResponse:
			pg := pgconn.ErrorResponseToPgError(m)
			err = classify(fmt.Errorf("prepare %q: %w", s.text, pg))
			if fatal(pg) {
				return c.broke(err)
			}
		case *pgproto3.ReadyForQuery:
			return err
		}
	}
}

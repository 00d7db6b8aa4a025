package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5/pgtype"
)

// Values travel in the binary form of their column's type, which PostgreSQL tells
// when a statement is prepared. There are so few types that no general mapping is
// needed, with its reflection and its allocations.

// encode gives a as a parameter of the type. Bytes are used as they are; what is
// made is appended to c.scratch.
func (c *conn) encode(oid uint32, a any) ([]byte, error) {
	start := len(c.scratch)
	switch v := a.(type) {
	case nil:
		return nil, nil
	case *float64:
		if v == nil {
			return nil, nil
		}
		a = *v
	case []byte:
		if oid == pgtype.ByteaOID {
			return v, nil
		}
	case int:
		a = int64(v)
	case bool:
		a = int64(0)
		if v {
			a = int64(1)
		}
	}
	switch v := a.(type) {
	case int64:
		if err := c.encodeInt(oid, v); err != nil {
			return nil, err
		}
	case float64:
		if oid != pgtype.Float8OID {
			return nil, mismatch(oid, a)
		}
		c.scratch = binary.BigEndian.AppendUint64(c.scratch, math.Float64bits(v))
	case string:
		if oid != pgtype.TextOID {
			return nil, mismatch(oid, a)
		}
		c.scratch = appendText(c.scratch, v)
	default:
		return nil, mismatch(oid, a)
	}
	return c.scratch[start:len(c.scratch):len(c.scratch)], nil
}

func (c *conn) encodeInt(oid uint32, v int64) error {
	switch oid {
	case pgtype.Int8OID:
		c.scratch = binary.BigEndian.AppendUint64(c.scratch, uint64(v))
	case pgtype.Int4OID:
		if v != int64(int32(v)) {
			return fmt.Errorf("%d is too large for an integer of four bytes", v)
		}
		c.scratch = binary.BigEndian.AppendUint32(c.scratch, uint32(v))
	case pgtype.Float8OID:
		c.scratch = binary.BigEndian.AppendUint64(c.scratch, math.Float64bits(float64(v)))
	default:
		return mismatch(oid, v)
	}
	return nil
}

// voidOID is the type of functions that give nothing, such as those that lock.
const voidOID = 2278

func mismatch(oid uint32, a any) error {
	return fmt.Errorf("a %T cannot be a parameter of type %s", a, typeName(oid))
}

// decode gives a value of an answer, which is the caller's to keep.
func decode(oid uint32, b []byte) (any, error) {
	if b == nil {
		return nil, nil
	}
	switch oid {
	case voidOID:
		return nil, nil
	case pgtype.Int8OID:
		return int64(binary.BigEndian.Uint64(b)), nil
	case pgtype.Int4OID:
		return int64(int32(binary.BigEndian.Uint32(b))), nil
	case pgtype.BoolOID:
		return int64(b[0]), nil
	case pgtype.Float8OID:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case pgtype.TextOID:
		return readText(b), nil
	case pgtype.ByteaOID:
		if len(b) == 0 {
			return []byte{}, nil
		}
		return bytes.Clone(b), nil
	}
	return nil, fmt.Errorf("the store has no value for a column of type %s", typeName(oid))
}

func typeName(oid uint32) string {
	if t, known := pgtype.NewMap().TypeForOID(oid); known {
		return t.Name
	}
	return fmt.Sprint("number ", oid)
}

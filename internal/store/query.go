package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tocsin/tocsin/hub"
)

// Numbers of values in the prepared forms of queries over a set of keys; a
// shorter rest is filled up by repeating its last key.
var inSizes = [...]int{64, 8, 1}

// queryIn runs a query whose text holds "IN (?)" once for each few keys. fixed
// are the parameters $1… before the keys.
func queryIn(r *Reader, text string, fixed, keys []any, row func([]any) error) error {
	for len(keys) > 0 {
		size := inSize(len(keys))
		n := min(size, len(keys))
		if err := r.q.Query(expandIn(text, len(fixed)+1, size), padded(fixed, keys[:n], size), row); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// execIn is queryIn for a statement that changes rows; it tells how many.
func execIn(tx *Tx, text string, fixed, keys []any) (total int64, err error) {
	for len(keys) > 0 {
		size := inSize(len(keys))
		n := min(size, len(keys))
		got, err := tx.Exec(expandIn(text, len(fixed)+1, size), padded(fixed, keys[:n], size)...)
		if err != nil {
			return total, err
		}
		total += got
		keys = keys[n:]
	}
	return total, nil
}

// inSize gives the size of the form to use for so many keys.
func inSize(keys int) int {
	for _, s := range inSizes {
		if keys > s/2 {
			return s
		}
	}
	return 1
}

// padded gives the arguments of a form of that size.
func padded(fixed, keys []any, size int) []any {
	args := append(append(make([]any, 0, len(fixed)+size), fixed...), keys...)
	for len(args) < len(fixed)+size {
		args = append(args, keys[len(keys)-1])
	}
	return args
}

func expandIn(text string, from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return strings.Replace(text, "IN (?)", "IN ("+b.String()+")", 1)
}

// one runs a query for one row and reports whether there was one.
func (r *Reader) one(query string, args []any, row func([]any) error) (bool, error) {
	found := false
	err := r.q.Query(query, args, func(v []any) error {
		found = true
		return row(v)
	})
	return found, err
}

// encode gives a document as it is stored. The types are ours, so that failing
// is a bug.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: encode %T: %v", v, err))
	}
	return b
}

func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read stored %T: %w", v, err)
	}
	return nil
}

// keyText gives a text as it stands in a key. Engines limit the size of keys, so
// that the end of a long one is its sum.
func keyText(text string) string {
	const longest = 256
	if len(text) <= longest {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return text[:longest-2*len(sum)] + hex.EncodeToString(sum[:])
}

func bytesOf(v any) []byte {
	b, _ := v.([]byte)
	return b
}

// A condition collects the WHERE clause of a list query.
type condition struct {
	where []string
	args  []any
}

func (c *condition) add(text string, arg any) {
	c.args = append(c.args, arg)
	c.where = append(c.where, strings.Replace(text, "?", fmt.Sprintf("$%d", len(c.args)), 1))
}

func (c *condition) in(column string, values []string) {
	if len(values) == 0 {
		return
	}
	marks := make([]string, len(values))
	for i, v := range values {
		c.args = append(c.args, v)
		marks[i] = fmt.Sprintf("$%d", len(c.args))
	}
	c.where = append(c.where, column+" IN ("+strings.Join(marks, ", ")+")")
}

// lastParam names the last parameter.
func lastParam(args []any) string { return fmt.Sprintf("$%d", len(args)) }

func (c *condition) text() string { return strings.Join(c.where, " AND ") }

func notFound(what string, id any) error {
	return hub.E(hub.NotFound, fmt.Sprintf("there is no %s %q", what, fmt.Sprint(id)))
}

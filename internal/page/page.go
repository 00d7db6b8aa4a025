// Package page speaks the convention of all lists: which part of a list a
// request asks for, and the opaque cursors that lead through it.
//
// A cursor names a place between two rows by the last row shown, so it stays
// valid while rows are added. It is signed by no one: it holds nothing that its
// owner may not know, and every query still says whose rows it wants. The
// checksum only tells a cursor of ours from one that was cut, changed or
// invented, so that the caller hears of the mistake and is not shown some other
// part of the list.
package page

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strconv"

	"github.com/tocsin/tocsin/hub"
)

// How many rows a page has.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// maxPage keeps the number of skipped rows far from overflow.
const maxPage = 10_000_000

// version is the first byte of every cursor. A change of the form raises it, and
// older cursors are then refused as broken.
const version = 1

// A Request says which part of a list is wanted: what comes behind a cursor, or
// a page by its number.
type Request struct {
	Limit int    // rows, 1–200
	After string // cursor; "" is the start
	Page  int    // 1…; 0 for a request by cursor
}

// Parse reads the query parameters limit, after and page; "" is one that was
// not given. Its errors are [hub.Malformed] and may be shown.
func Parse(limit, after, page string) (Request, error) {
	r := Request{Limit: DefaultLimit, After: after}
	if limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > MaxLimit {
			return Request{}, hub.E(hub.Malformed, "limit must be a whole number from 1 to 200")
		}
		r.Limit = n
	}
	if page != "" {
		n, err := strconv.Atoi(page)
		if err != nil || n < 1 || n > maxPage {
			return Request{}, hub.E(hub.Malformed, "page must be a whole number from 1 to 10000000")
		}
		r.Page = n
	}
	if page != "" && after != "" {
		return Request{}, hub.E(hub.Malformed, "page and after cannot be used together; give one of them")
	}
	return r, nil
}

// Skip gives the number of rows before the page that r asks for, 0 for a
// request by cursor.
func (r Request) Skip() int { return max(0, r.Page-1) * r.Limit }

// Encode makes the cursor for a position, such as the id of the last row, in
// the list named kind. A cursor of one kind is refused by every other.
func Encode(kind, position string) string {
	var room [128]byte
	b := append(room[:0], version)
	b = append(b, position...)
	b = binary.BigEndian.AppendUint32(b, sum(kind, b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Decode gives the position back, and "" for the cursor "", which is the start.
// Its errors are [hub.Malformed].
func Decode(kind, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := encoding.DecodeString(cursor)
	if err != nil || len(b) < 5 || b[0] != version {
		return "", broken()
	}
	body, check := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	// Encoding again refuses the line breaks that base64 readers skip.
	if check != sum(kind, body) || encoding.EncodeToString(b) != cursor {
		return "", broken()
	}
	return string(body[1:]), nil
}

// EncodeInt is [Encode] for a position that is a number.
func EncodeInt(kind string, position int64) string {
	return Encode(kind, strconv.FormatInt(position, 36))
}

// DecodeInt is [Decode] for a position that is a number, 0 for the start.
func DecodeInt(kind, cursor string) (int64, error) {
	position, err := Decode(kind, cursor)
	if err != nil || position == "" && cursor == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(position, 36, 64)
	if err != nil {
		return 0, broken()
	}
	return n, nil
}

// encoding refuses cursors that differ from the one we gave in unused bits.
var encoding = base64.RawURLEncoding.Strict()

// sum covers the kind too, though it is not in the cursor.
func sum(kind string, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(kind), table), table, body)
}

func broken() error {
	return hub.E(hub.Malformed, "the cursor is broken or of another list; take next_cursor as it was given, or leave out after to start again")
}

package audit

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// The members of an entry, in the order in which they are written.
const (
	fAction = iota
	fActorType
	fDetails
	fID
	fIP
	fLog
	fOutcome
	fPrev
	fMethod
	fPath
	fResourceID
	fResourceType
	fStatus
	fSequence
	fTenant
	fTime
	fAgent
	fEmail
	fUser
	fieldCount
)

// layout is what stands in front of each value.
var layout = [fieldCount]string{
	`{"action":`, `,"actor_type":`, `,"details":`, `,"id":`, `,"ip_address":`, `,"log":`, `,"outcome":`, `,"prev_hash":`,
	`,"request_method":`, `,"request_path":`, `,"resource_id":`, `,"resource_type":`, `,"response_status":`, `,"sequence":`,
	`,"tenant_id":`, `,"timestamp":`, `,"user_agent":`, `,"user_email":`, `,"user_id":`,
}

// A parsed entry is cut into its values, which stay in the bytes they came in.
type parsed struct {
	field  [fieldCount][]byte // as written, with quotes
	seq    int64
	status int64
	prev   [32]byte
	micros int64
}

// parse cuts an entry up. It takes exactly what the encoder can write: all
// members in order, in canonical form.
func (p *parsed) parse(b []byte) error {
	if len(b) > MaxEntry {
		return fmt.Errorf("the entry has %d bytes, more than %d", len(b), MaxEntry)
	}
	i := 0
	for f := range layout {
		start := scanWord(b, i, layout[f])
		if start < 0 {
			return fmt.Errorf("the entry is not canonical at byte %d", i)
		}
		end := p.value(b, f, start)
		if end < 0 {
			return fmt.Errorf("the entry has no canonical value at byte %d", start)
		}
		p.field[f] = b[start:end]
		i = end
	}
	if string(b[i:]) != trailer {
		return fmt.Errorf("the entry is of another version or not canonical at byte %d", i)
	}
	return nil
}

// value walks over the value of field f at i.
func (p *parsed) value(b []byte, f, i int) int {
	end := -1
	switch f {
	case fDetails:
		if i < len(b) && b[i] == '{' {
			end = scanValue(b, i, maxDepth)
		}
	case fStatus:
		p.status, end = scanInt(b, i)
	case fSequence:
		if p.seq, end = scanInt(b, i); p.seq < 0 {
			return -1
		}
	case fPrev:
		if end = scanString(b, i); end != i+66 || !parseHash(&p.prev, b[i+1:i+65]) {
			return -1
		}
	case fTime:
		if end = scanString(b, i); end != i+timeLen+2 {
			return -1
		}
		var ok bool
		if p.micros, ok = parseTime(b[i+1 : end-1]); !ok {
			return -1
		}
	default:
		end = scanString(b, i)
	}
	return end
}

// parseHash reads 64 lower-case hexadecimal digits.
func parseHash(dst *[32]byte, b []byte) bool {
	if len(b) != 64 {
		return false
	}
	for i := range dst {
		high, low := digit(b[2*i]), digit(b[2*i+1])
		if high < 0 || low < 0 {
			return false
		}
		dst[i] = byte(high<<4 | low)
	}
	return true
}

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// Decode reads the bytes of an entry. It refuses all that a [Sealer] does not
// write, so what it takes encodes to the same bytes again. IntegrityHash is left
// empty; [Hash] gives it.
func Decode(b []byte) (hub.AuditEntry, error) {
	var p parsed
	if err := p.parse(b); err != nil {
		return hub.AuditEntry{}, err
	}
	text := func(f int) string { return unquote(p.field[f]) }
	return hub.AuditEntry{
		ID: text(fID), Sequence: p.seq, Timestamp: time.UnixMicro(p.micros).UTC(), Tenant: hub.TenantID(text(fTenant)),
		UserID: text(fUser), UserEmail: text(fEmail), ActorType: hub.ActorType(text(fActorType)),
		Action: text(fAction), ResourceType: text(fResourceType), ResourceID: text(fResourceID),
		IPAddress: text(fIP), UserAgent: text(fAgent), RequestMethod: text(fMethod), RequestPath: text(fPath),
		ResponseStatus: int(p.status), Outcome: hub.AuditOutcome(text(fOutcome)),
		Details:  jsontext.Value(p.field[fDetails]).Clone(),
		PrevHash: text(fPrev),
	}, nil
}

// Open is [Decode] for a stored entry: IntegrityHash is the stored hash.
func Open(e hub.SealedEntry) (hub.AuditEntry, error) {
	a, err := Decode(e.Bytes)
	if err != nil {
		return a, err
	}
	a.IntegrityHash = hexHash(e.Hash)
	return a, nil
}

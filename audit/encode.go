package audit

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tocsin/tocsin/hub"
)

// An encoder writes entries as canonical JSON (RFC 8785). What all entries of
// one call of Seal share is quoted once.
type encoder struct {
	log, tenant, time []byte // quoted
}

func newEncoder(log, tenant string, micros int64) encoder {
	return encoder{
		log:    appendString(nil, log),
		tenant: appendString(nil, tenant),
		time:   appendTime(make([]byte, 0, timeLen+2), micros),
	}
}

// entry appends an entry that is at most [MaxEntry] long, whatever it is given.
// What makes it too long is replaced by its length and hash: first the details,
// then long strings.
func (e *encoder) entry(dst []byte, seq int64, prev *[32]byte, a *hub.AuditEntry) []byte {
	details := canonicalDetails(a.Details)
	start := len(dst)
	dst = e.append(dst, seq, prev, a, details)
	if len(dst)-start <= MaxEntry {
		return dst
	}
	details = omittedDetails(details)
	dst = e.append(dst[:start], seq, prev, a, details)
	if len(dst)-start <= MaxEntry {
		return dst
	}
	short := shortened(*a)
	return e.append(dst[:start], seq, prev, &short, details)
}

// append writes the members in the order of RFC 8785, which is alphabetical.
func (e *encoder) append(dst []byte, seq int64, prev *[32]byte, a *hub.AuditEntry, details []byte) []byte {
	dst = appendString(append(dst, `{"action":`...), a.Action)
	dst = appendString(append(dst, `,"actor_type":`...), string(a.ActorType))
	dst = append(append(dst, `,"details":`...), details...)
	dst = appendString(append(dst, `,"id":`...), a.ID)
	dst = appendString(append(dst, `,"ip_address":`...), a.IPAddress)
	dst = append(append(dst, `,"log":`...), e.log...)
	dst = appendString(append(dst, `,"outcome":`...), string(a.Outcome))
	dst = append(hex.AppendEncode(append(dst, `,"prev_hash":"`...), prev[:]), '"')
	dst = appendString(append(dst, `,"request_method":`...), a.RequestMethod)
	dst = appendString(append(dst, `,"request_path":`...), a.RequestPath)
	dst = appendString(append(dst, `,"resource_id":`...), a.ResourceID)
	dst = appendString(append(dst, `,"resource_type":`...), a.ResourceType)
	dst = strconv.AppendInt(append(dst, `,"response_status":`...), clamp(int64(a.ResponseStatus)), 10)
	dst = strconv.AppendInt(append(dst, `,"sequence":`...), seq, 10)
	dst = append(append(dst, `,"tenant_id":`...), e.tenant...)
	dst = append(append(dst, `,"timestamp":`...), e.time...)
	dst = appendString(append(dst, `,"user_agent":`...), a.UserAgent)
	dst = appendString(append(dst, `,"user_email":`...), a.UserEmail)
	dst = appendString(append(dst, `,"user_id":`...), a.UserID)
	return append(dst, trailer...)
}

// trailer ends every entry.
const trailer = `,"v":1}`

// sizeHint is about how long the entry will be without log and tenant, for one
// allocation a batch.
func sizeHint(a *hub.AuditEntry) int {
	const fixed = 440 // member names, hash, time, numbers, a few escapes
	return fixed + len(a.Action) + len(a.ActorType) + len(a.Details) + len(a.ID) + len(a.IPAddress) + len(a.Outcome) +
		len(a.RequestMethod) + len(a.RequestPath) + len(a.ResourceID) + len(a.ResourceType) +
		len(a.UserAgent) + len(a.UserEmail) + len(a.UserID)
}

func clamp(n int64) int64 { return min(max(n, -maxInt), maxInt) }

const hexDigits = "0123456789abcdef"

// appendString quotes s with the fewest escapes, as RFC 8785 wants it. A byte
// that is not part of valid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // start of what can be copied as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[plain:i]...), "\uFFFD"...)
				plain = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = appendEscape(append(dst, s[plain:i]...), c)
			plain = i + 1
		}
		i++
	}
	return append(append(dst, s[plain:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

const (
	timeLayout = "2006-01-02T15:04:05.000000Z"
	timeLen    = len(timeLayout)
	// maxTime is the last microsecond that the layout can tell.
	maxTime = 253402300799999999
)

// appendTime quotes a time given in microseconds since 1970.
func appendTime(dst []byte, micros int64) []byte {
	micros = min(max(micros, 0), maxTime)
	dst = append(dst, '"')
	dst = time.UnixMicro(micros).UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

// parseTime is the inverse of appendTime, without the quotes. It takes nothing
// that appendTime does not write.
func parseTime(b []byte) (micros int64, ok bool) {
	if len(b) != timeLen {
		return 0, false
	}
	for i := range timeLen {
		isDigit := b[i] >= '0' && b[i] <= '9'
		if wantDigit := timeLayout[i] >= '0' && timeLayout[i] <= '9'; isDigit != wantDigit || !isDigit && b[i] != timeLayout[i] {
			return 0, false
		}
	}
	year, month, day := number(b[:4]), number(b[5:7]), number(b[8:10])
	hour, minute, second := number(b[11:13]), number(b[14:16]), number(b[17:19])
	if year < 1970 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, number(b[20:26])*1000, time.UTC)
	if t.Day() != day || t.Month() != time.Month(month) { // the 30th of February
		return 0, false
	}
	return t.UnixMicro(), true
}

func number(digits []byte) int {
	n := 0
	for _, c := range digits {
		n = 10*n + int(c-'0')
	}
	return n
}

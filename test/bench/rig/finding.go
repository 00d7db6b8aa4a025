package rig

import (
	"bytes"
	"strconv"
)

// Findings makes findings that are each a problem of their own. A run's name
// and a number decide every byte, so that the same finding can be made again.
type Findings struct {
	Run string // letters and digits; findings of different runs are different
	Pad int    // bytes that the payload is made longer by
}

// Append appends finding i as one JSON object of about 400 bytes.
func (f Findings) Append(b []byte, i int) []byte {
	b = append(b, `{"type":"sql_injection","asset_id":"`...)
	b = f.AppendAsset(b, i)
	b = append(b, `","severity":"high","source":"rig","source_id":"`...)
	b = f.AppendAsset(b, i)
	b = append(b, `","title":"SQL injection in the login form","observed_at":"2026-11-22T10:00:00Z","labels":{"team":"web","env":"prod"},`+
		`"payload":{"parameter":"user","evidence":"' OR 1=1 --","rule":"942100","request":{"method":"POST","path":"/login","client":"203.0.113.7"}`...)
	if f.Pad > 0 {
		b = append(b, `,"pad":"`...)
		for range f.Pad {
			b = append(b, 'x')
		}
		b = append(b, '"')
	}
	return append(b, "}}"...)
}

// AppendAsset appends the asset of finding i, which is its source's id too.
func (f Findings) AppendAsset(b []byte, i int) []byte {
	b = append(b, "rig-"...)
	b = append(b, f.Run...)
	b = append(b, '-')
	return strconv.AppendInt(b, int64(i), 10)
}

// AppendBatch appends findings from up to before to as a JSON array.
func (f Findings) AppendBatch(b []byte, from, to int) []byte {
	b = append(b, '[')
	for i := from; i < to; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = f.Append(b, i)
	}
	return append(b, ']')
}

var assetField = []byte(`"asset_id":"rig-`)

// Index finds the number of the run's finding that an event is about; -1 if it
// is about none. It looks for the bytes instead of decoding the event.
func (f Findings) Index(event []byte) int {
	i := bytes.Index(event, assetField)
	if i < 0 {
		return -1
	}
	rest := event[i+len(assetField):]
	if len(rest) <= len(f.Run) || string(rest[:len(f.Run)]) != f.Run || rest[len(f.Run)] != '-' {
		return -1
	}
	rest = rest[len(f.Run)+1:]
	n := 0
	for j, c := range rest {
		switch {
		case c == '"' && j > 0:
			return n
		case c < '0' || c > '9' || j > 9:
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return -1
}

package dedup

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/tocsin/tocsin/hub"
)

// A content is what of a finding matters to its alert, as hashes.
type content struct {
	sum      [16]byte // of all of it
	asset    uint64
	evidence uint64
}

// ContentHash gives the hash of what matters in f: type, status, severity,
// asset, vulnerability, compliance result and the payload without its volatile
// parts. It breaks ties between observations of one event time.
func ContentHash(p Profile, f *hub.Finding) [16]byte { return contentOf(&p, f).sum }

func contentOf(p *Profile, f *hub.Finding) content {
	space := make([]byte, 0, 256+len(f.Payload)+len(f.Payload)/2)
	evidence := evidenceOf(space, p, f)
	b := append(space, "tocsin content 1"...)
	b = appendField(b, 'y', f.Type)
	b = appendField(b, 'a', f.AssetID)
	b = appendField(b, 'x', string(f.Severity))
	b = appendField(b, 'u', string(f.Status))
	b = appendDetails(b, f)
	b = append(append(b, 'E'), evidence[:]...)
	b = appendAcknowledged(b, f)
	sum := sha256.Sum256(b)
	return content{
		sum: [16]byte(sum[:16]), evidence: binary.LittleEndian.Uint64(evidence[:]),
		asset: hashText(f.AssetID),
	}
}

// evidenceOf gives the hash of what ends an acknowledgement when it is new.
func evidenceOf(b []byte, p *Profile, f *hub.Finding) [sha256.Size]byte {
	b = append(b, "tocsin evidence 1"...)
	if v := f.Vulnerability; v != nil {
		b = appendField(append(b, 'V'), 'c', v.CVE)
		b = appendField(appendField(b, 'p', v.Package), 'f', v.FixedVersion)
	}
	if c := f.Compliance; c != nil {
		b = appendField(append(b, 'C'), 'f', c.Framework)
		b = appendField(appendField(b, 'c', c.Control), 'r', c.Result)
	}
	b = appendJSONAt(append(b, 'P'), f.Payload, p, "", true)
	return sha256.Sum256(b)
}

func hashText(s string) uint64 {
	var space [256]byte
	sum := sha256.Sum256(appendString(space[:0], s))
	return binary.LittleEndian.Uint64(sum[:])
}

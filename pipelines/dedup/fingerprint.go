package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/tocsin/tocsin/hub"
)

// keyVersion is part of every fingerprint. Another encoding needs another
// number, and a migration, because every stored identity changes with it.
const keyVersion = 1

// Forms of identity.
const (
	byDedupKey = 'k'
	bySourceID = 'i'
	byAsset    = 'a'
)

// Fingerprint gives the identity of the problem that f is about: tenant and
// either the sender's dedup_key, which senders share on purpose, or source and
// source_id, or source, type, asset_id and discriminators.
func Fingerprint(p Profile, f *hub.Finding) hub.Fingerprint {
	var space [512]byte
	b := append(space[:0], "tocsin fingerprint"...)
	b = appendField(append(b, keyVersion), 't', string(f.Tenant))
	switch {
	case f.DedupKey != "":
		b = appendField(b, byDedupKey, f.DedupKey)
	case f.SourceID != "" && !p.SharedAsset:
		b = appendField(b, bySourceID, f.SourceID)
		b = appendField(b, 's', f.Source)
	default:
		b = appendAsset(append(b, byAsset), &p, f)
	}
	return sha256.Sum256(b)
}

func appendAsset(b []byte, p *Profile, f *hub.Finding) []byte {
	if !p.SharedAsset {
		b = appendField(b, 's', f.Source)
	}
	b = appendField(b, 'y', f.Type)
	b = appendField(b, 'a', f.AssetID)
	var vuln hub.Vulnerability // one that holds only a score names nothing
	if f.Vulnerability != nil {
		vuln = *f.Vulnerability
	}
	b = appendField(appendField(b, 'v', vuln.CVE), 'p', vuln.Package)
	var result hub.Compliance
	if f.Compliance != nil {
		result = *f.Compliance
	}
	b = appendField(appendField(b, 'w', result.Framework), 'c', result.Control)
	pointers := p.Discriminators
	if !slices.IsSorted(pointers) { // their order in the config means nothing
		pointers = slices.Sorted(slices.Values(pointers))
	}
	for _, pointer := range pointers {
		b = appendField(b, 'd', pointer)
		b = appendDiscriminator(b, p, f, pointer)
	}
	return b
}

func appendDiscriminator(b []byte, p *Profile, f *hub.Finding, pointer string) []byte {
	v := lookup(f.Payload, pointer)
	if len(v) == 0 {
		return append(b, tagMissing)
	}
	if len(p.Unordered) == 0 {
		return appendJSON(b, v)
	}
	return appendJSONAt(b, v, p, pointer, false)
}

// DeliveryKey gives the identity of a delivery: the same for the same source,
// source_id, observed_at where the sender gave it, and content. What the hub
// adds (ID, ReceivedAt) is not in it.
func DeliveryKey(f *hub.Finding) [16]byte {
	b := make([]byte, 0, 512+len(f.Title)+len(f.Description)+len(f.Payload)+len(f.Payload)/2)
	b = append(b, "tocsin delivery 1"...)
	b = appendField(b, 't', string(f.Tenant))
	b = appendField(b, 's', f.Source)
	b = appendField(b, 'i', f.SourceID)
	if b = append(b, 'o'); f.ObservedGiven {
		b = binary.AppendVarint(b, hub.Micros(f.ObservedAt))
	} else {
		b = append(b, tagMissing)
	}
	b = binary.AppendVarint(append(b, 'q'), f.SourceSequence)
	b = appendField(b, 'k', f.DedupKey)
	b = appendField(b, 'y', f.Type)
	b = appendField(b, 'a', f.AssetID)
	b = appendField(b, 'x', string(f.Severity))
	b = appendField(b, 'u', string(f.Status))
	b = appendField(b, 'T', f.Title)
	b = appendField(b, 'D', f.Description)
	b = appendLabels(b, 'L', f.Labels)
	b = appendFloat(b, 'r', f.RiskScore)
	b = appendDetails(b, f)
	b = appendJSON(append(b, 'P'), f.Payload)
	b = appendAcknowledged(b, f)
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// Repeatable reports whether a finding with f's delivery key may come again and
// be an observation of its own: the sender gave no event time, so only deliveries
// within [RepeatWindow] are repeats.
func Repeatable(f *hub.Finding) bool { return !f.ObservedGiven }

// appendAcknowledged appends when f was acknowledged at its source, if it was.
func appendAcknowledged(b []byte, f *hub.Finding) []byte {
	if f.AcknowledgedAt.IsZero() {
		return b
	}
	return binary.AppendVarint(append(b, 'K'), hub.Micros(f.AcknowledgedAt))
}

// appendDetails appends asset, vulnerability and compliance result.
func appendDetails(b []byte, f *hub.Finding) []byte {
	if a := f.Asset; a != nil {
		b = appendField(append(b, 'A'), 'y', a.Type)
		b = appendField(appendField(b, 'p', a.Provider), 'a', a.Account)
		b = appendField(appendField(b, 'r', a.Region), 'n', a.Name)
		b = appendLabels(b, 't', a.Tags)
	}
	if v := f.Vulnerability; v != nil {
		b = appendField(append(b, 'V'), 'c', v.CVE)
		b = appendField(appendField(b, 'p', v.Package), 'f', v.FixedVersion)
		b = appendFloat(b, 's', v.CVSS)
	}
	if c := f.Compliance; c != nil {
		b = appendField(append(b, 'C'), 'f', c.Framework)
		b = appendField(appendField(b, 'c', c.Control), 'r', c.Result)
	}
	return b
}

package cef

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An Envelope is what is known of a message from what carried it, such as the
// header of syslog.
type Envelope struct {
	Host string
	Time time.Time
	Raw  jsontext.Value // the whole message; as a JSON text, if it is no JSON
	Zone *time.Location // of times that tell none
	Now  func() time.Time
}

// Finding maps e.
func (e *Event) Finding(env *Envelope) hub.Finding {
	ends := e.ends()
	f := hub.Finding{
		SourceID: e.identity(ends, env), Status: hub.FindingOpen, Severity: e.severity(), Raw: env.Raw,
		Title:       inbound.Said(e.Name, e.first("name", "eventName", "policy"), e.Vendor+" "+e.Product+" "+e.Class, e.Format+" event"),
		Description: e.first("msg", "message", "reason"),
		Labels: map[string]string{
			"format": strings.ToLower(e.Format), "vendor": e.Vendor, "product": e.Product, "class": e.Class,
			"category": e.first("cat"), "action": e.first("act", "action"), "sender": env.Host,
		},
	}
	f.Type = inbound.First(inbound.TypeOf(e.Name, e.Fields["cat"], e.Class, e.Fields["msg"]), ends.fallback())
	f.ObservedAt = clock{env.Zone, env.Now}.observed(e)
	if f.ObservedAt.IsZero() {
		f.ObservedAt = env.Time
	}
	e.asset(&f, ends, env)
	f.Payload = e.payload()
	return f
}

// ends are who is involved, by name where it is known.
type ends struct{ to, from, toUser, fromUser, file string }

func (e *Event) ends() ends {
	if e.Format == "LEEF" {
		return ends{
			to: e.first("dstHostName", "dst"), from: e.first("identHostName", "srcHostName", "src"),
			toUser: e.first("dstUsrName"), fromUser: e.first("usrName", "accountName"), file: e.first("filePath", "fileName", "file"),
		}
	}
	return ends{
		to: e.first("dhost", "dst"), from: e.first("shost", "src"), toUser: e.first("duser", "duid"), fromUser: e.first("suser", "suid"),
		file: e.first("filePath", "fname", "fileHash", "request"),
	}
}

// fallback is the type of what tells none: about a connection, or anything.
func (x ends) fallback() string {
	if x.to != "" && x.from != "" {
		return "network"
	}
	return "custom"
}

// first gives the first field that is not empty.
func (e *Event) first(keys ...string) string {
	for _, k := range keys {
		if v := e.Fields[k]; v != "" {
			return v
		}
	}
	return ""
}

// identity is the class of event with the vendor's own id of what happened; for
// want of one, with whom and what it is about. The device that tells counts only
// where no end is known, because two firewalls may see the same.
func (e *Event) identity(x ends, env *Envelope) string {
	if id := e.first("externalId"); id != "" && e.Format == "CEF" {
		return inbound.Key(e.Vendor, e.Product, e.Class, id)
	}
	device := ""
	if x.from == "" && x.to == "" {
		device = e.device(env)
	}
	return inbound.Key(e.Vendor, e.Product, e.Class, x.from, x.to, x.fromUser, x.toUser, x.file, device)
}

func (e *Event) device(env *Envelope) string {
	return inbound.First(e.first("dvchost", "dvc", "devname", "deviceExternalId"), env.Host)
}

// asset is the end that is ours, else the device that tells of it.
func (e *Event) asset(f *hub.Finding, x ends, env *Envelope) {
	ours := inbound.Ours(e.first("dst", "dhost"), e.first("src", "shost"))
	switch {
	case ours == "":
		f.AssetID = inbound.First(x.to, x.from, e.device(env), e.Product, "unknown")
	case ours == e.first("dst", "dhost"):
		f.AssetID = inbound.First(x.to, ours)
	default:
		f.AssetID = inbound.First(x.from, ours)
	}
	f.Asset = &hub.Asset{Type: "host", Name: f.AssetID, Tags: map[string]string{"ip": ours}}
	if ours == f.AssetID {
		f.Asset.Tags = nil
	}
}

// severity reads the number of either format, 0 to 10, or CEF's words. CEF
// names the bands: 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
func (e *Event) severity() hub.Severity {
	word := strings.ToLower(strings.TrimSpace(e.Severity))
	if n, err := strconv.ParseFloat(word, 64); err == nil {
		switch {
		case n < 0 || n > 10:
			return hub.High // too loud is noticed and mended, too quiet is not
		case n >= 9:
			return hub.Critical
		case n >= 7:
			return hub.High
		case n >= 4:
			return hub.Medium
		}
		return hub.Low
	}
	switch word {
	case "very-high", "very high", "veryhigh":
		return hub.Critical
	case "unknown", "":
		return hub.Medium
	}
	return inbound.SeverityOr(word, hub.Medium)
}

// changing are fields that differ from one report of the same thing to the next:
// times, counters, numbers of packets, ports that the sender picks.
var changing = map[string]bool{
	"rt": true, "start": true, "end": true, "art": true, "mrt": true, "at": true, "cnt": true, "in": true, "out": true, "spt": true,
	"eventId": true, "externalId": true, "msg": true, "message": true, "sourceTranslatedPort": true, "spid": true, "dpid": true, "dvcpid": true,
	"oldFileModificationTime": true, "fileModificationTime": true, "fileCreateTime": true, "deviceCustomDate1": true, "deviceCustomDate2": true,
	"flexDate1": true, "devTime": true, "devTimeFormat": true, "srcPort": true, "srcPreNATPort": true, "srcPostNATPort": true,
	"dstPostNATPort": true, "srcBytes": true, "dstBytes": true, "totalBytes": true, "srcPackets": true, "dstPackets": true, "totalPackets": true,
	"cn1": true, "cn2": true, "cn3": true, "cfp1": true, "cfp2": true, "cfp3": true, "cfp4": true, "sev": true, "_cefVer": true, "sessionID": true,
}

// payload holds the header, and of the fields those that stay.
func (e *Event) payload() jsontext.Value {
	fields := make(map[string]any, len(e.Fields))
	for name, value := range e.Fields {
		if !changing[name] && !strings.HasSuffix(name, "Label") {
			fields[e.label(name)] = value
		}
	}
	return inbound.Object(map[string]any{
		"vendor": e.Vendor, "product": e.Product, "class": e.Class, "name": e.Name, "fields": fields,
	})
}

// label names a custom field as its label says: cs1Label=Policy names cs1.
func (e *Event) label(name string) string {
	label := e.Fields[name+"Label"]
	if _, there := e.Fields[label]; label == "" || there {
		return name
	}
	return label
}

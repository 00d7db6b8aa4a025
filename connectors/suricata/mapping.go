package suricata

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An event is what is read of a line of eve.json.
type event struct {
	Time     inbound.Time `json:"timestamp"`
	Type     string       `json:"event_type"`
	Sensor   inbound.Text `json:"host"`
	Iface    inbound.Text `json:"in_iface"`
	SrcIP    inbound.Text `json:"src_ip"`
	SrcPort  inbound.Text `json:"src_port"`
	DestIP   inbound.Text `json:"dest_ip"`
	DestPort inbound.Text `json:"dest_port"`
	Proto    inbound.Text `json:"proto"`
	AppProto inbound.Text `json:"app_proto"`
	Alert    *alert       `json:"alert"`
	Anomaly  *anomaly     `json:"anomaly"`
	HTTP     *httpInfo    `json:"http"`
	DNS      *dnsInfo     `json:"dns"`
	TLS      *tlsInfo     `json:"tls"`
}

type alert struct {
	Action    inbound.Text        `json:"action"` // allowed or blocked
	GID       inbound.Text        `json:"gid"`
	Signature inbound.Text        `json:"signature_id"`
	Rev       inbound.Text        `json:"rev"`
	Name      inbound.Text        `json:"signature"`
	Category  inbound.Text        `json:"category"`
	Severity  inbound.Number      `json:"severity"`
	Target    *side               `json:"target"`
	Metadata  map[string]metadata `json:"metadata"`
}

type side struct {
	IP inbound.Text `json:"ip"`
}

type anomaly struct {
	Type  inbound.Text `json:"type"`
	Event inbound.Text `json:"event"`
	Layer inbound.Text `json:"layer"`
}

type httpInfo struct {
	Host   inbound.Text `json:"hostname"`
	URL    inbound.Text `json:"url"`
	Method inbound.Text `json:"http_method"`
	Agent  inbound.Text `json:"http_user_agent"`
}

type dnsInfo struct {
	Name inbound.Text `json:"rrname"`
}

type tlsInfo struct {
	SNI inbound.Text `json:"sni"`
}

// metadata is what a rule says of itself: a list, or one text.
type metadata []string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (m *metadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*m = nil
	if d.PeekKind() != '[' {
		var t inbound.Text
		err := t.UnmarshalJSONFrom(d)
		if t != "" {
			*m = metadata{string(t)}
		}
		return err
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		var t inbound.Text
		if err := t.UnmarshalJSONFrom(d); err != nil {
			return err
		}
		*m = append(*m, string(t))
	}
	_, err := d.ReadToken()
	return err
}

func decode(raw jsontext.Value) (*event, error) {
	var e event
	if err := inbound.Decode(raw, &e, false); err != nil {
		return nil, err
	}
	switch {
	case e.Type == "":
		return nil, errors.New("event_type is missing: it is no event of eve.json")
	case e.Type == "alert" && (e.Alert == nil || e.Alert.Signature == ""):
		return nil, errors.New("alert.signature_id is missing")
	case e.Type == "anomaly" && (e.Anomaly == nil || e.Anomaly.Event == ""):
		return nil, errors.New("anomaly.event is missing")
	}
	return &e, nil
}

func (e *event) findings(raw jsontext.Value) []hub.Finding {
	f := hub.Finding{Status: hub.FindingOpen, ObservedAt: e.Time.Time, Raw: raw, Labels: map[string]string{
		"suricata_sensor": string(e.Sensor),
	}}
	if e.Type == "anomaly" {
		e.mapAnomaly(&f)
	} else {
		e.mapAlert(&f)
	}
	return []hub.Finding{f}
}

func (e *event) mapAlert(f *hub.Finding) {
	a := e.Alert
	gid := inbound.First(a.GID, "1")
	f.SourceID = inbound.Key(string(gid)+":"+string(a.Signature), e.from(), string(e.DestIP), string(e.DestPort))
	f.Type, f.Severity = a.kind(), a.severity()
	f.Title = inbound.Said(string(a.Name), "Suricata signature "+string(gid)+":"+string(a.Signature))
	f.Description = e.describe()
	e.asset(f, a.Target)
	f.Labels["suricata_action"] = string(a.Action)
	f.Labels["suricata_category"] = string(a.Category)
	f.Labels["mitre_technique_id"] = strings.Join(a.Metadata["mitre_technique_id"], ",")
	f.Payload = inbound.Object(map[string]any{
		"gid": gid, "signature_id": a.Signature, "signature": a.Name, "category": a.Category, "action": a.Action,
		"src_ip": e.SrcIP, "dest_ip": e.DestIP, "dest_port": e.DestPort, "proto": e.Proto, "app_proto": e.AppProto,
		"metadata": a.stable(),
	})
}

// stable is the metadata of a rule without the dates of its changes.
func (a *alert) stable() map[string]any {
	m := map[string]any{}
	for name, values := range a.Metadata {
		if name != "updated_at" && name != "created_at" && name != "reviewed_at" {
			m[name] = []string(values)
		}
	}
	return m
}

func (e *event) mapAnomaly(f *hub.Finding) {
	a := e.Anomaly
	f.SourceID = inbound.Key("anomaly", string(a.Type), string(a.Event), e.from(), string(e.DestIP), string(e.DestPort))
	f.Type, f.Severity = "anomaly", hub.Low
	f.Title = "Protocol anomaly " + string(a.Event)
	f.Description = e.describe()
	e.asset(f, nil)
	f.Payload = inbound.Object(map[string]any{
		"type": a.Type, "event": a.Event, "layer": a.Layer, "src_ip": e.SrcIP, "dest_ip": e.DestIP, "dest_port": e.DestPort,
		"proto": e.Proto, "app_proto": e.AppProto,
	})
}

// from is where it came from; events below IP only tell where they were seen.
func (e *event) from() string { return string(inbound.First(e.SrcIP, e.Sensor, e.Iface)) }

// asset is what the rule calls the target, else the side that is ours.
func (e *event) asset(f *hub.Finding, target *side) {
	f.AssetID = inbound.Ours(string(e.DestIP), string(e.SrcIP))
	if target != nil && target.IP != "" {
		f.AssetID = string(target.IP)
	}
	f.Asset = &hub.Asset{Type: "host", Name: f.AssetID}
	if f.AssetID == "" { // events below IP
		f.AssetID, f.Asset = inbound.First(e.from(), "unknown"), nil
	}
}

// describe tells in one line what was seen on the wire.
func (e *event) describe() string {
	var b strings.Builder
	b.WriteString(string(inbound.First(e.Proto, "traffic")))
	if e.SrcIP != "" || e.DestIP != "" {
		b.WriteString(" from " + address(e.SrcIP, e.SrcPort) + " to " + address(e.DestIP, e.DestPort))
	}
	if e.HTTP != nil {
		b.WriteString("; " + string(inbound.First(e.HTTP.Method, "HTTP")) + " " + string(e.HTTP.Host) + string(e.HTTP.URL))
	}
	if e.DNS != nil && e.DNS.Name != "" {
		b.WriteString("; DNS " + string(e.DNS.Name))
	}
	if e.TLS != nil && e.TLS.SNI != "" {
		b.WriteString("; TLS " + string(e.TLS.SNI))
	}
	return b.String()
}

func address(ip, port inbound.Text) string {
	switch {
	case port == "" || port == "0":
		return string(ip)
	case strings.Contains(string(ip), ":"):
		return "[" + string(ip) + "]:" + string(port)
	}
	return string(ip) + ":" + string(port)
}

// severity is what the rule says of itself (Emerging Threats:
// signature_severity), else the priority of its class: 1 is the worst of
// classification.config.
func (a *alert) severity() hub.Severity {
	if words := a.Metadata["signature_severity"]; len(words) > 0 {
		switch strings.ToLower(words[0]) {
		case "critical":
			return hub.Critical
		case "major":
			return hub.High
		case "minor":
			return hub.Low
		case "informational":
			return hub.Info
		}
	}
	switch n := a.Severity.Int(); {
	case n == 1:
		return hub.High
	case n == 2:
		return hub.Medium
	case n == 3:
		return hub.Low
	case n >= 4 && n <= 255:
		return hub.Info
	}
	return hub.High // too loud is noticed and mended, too quiet is not
}

// categories are the texts of classification.config that say more than that
// there was traffic.
var categories = map[string]string{
	"a network trojan was detected":                               "malware",
	"malware command and control activity detected":               "malware",
	"domain observed used for c2 detected":                        "malware",
	"crypto currency mining activity detected":                    "malware",
	"exploit kit activity detected":                               "malware",
	"targeted malicious activity was detected":                    "malware",
	"executable code was detected":                                "malware",
	"possibly unwanted program detected":                          "malware",
	"successful credential theft detected":                        "iam",
	"possible social engineering attempted":                       "iam",
	"an attempted login using a suspicious username was detected": "brute_force",
	"attempt to login by a default username and password":         "brute_force",
	"potential corporate privacy violation":                       "policy",
	"inappropriate content was detected":                          "policy",
	"access to a potentially vulnerable web application":          "vulnerability",
	"detection of a non-standard protocol or event":               "anomaly",
	"a suspicious filename was detected":                          "anomaly",
	"a client was using an unusual port":                          "anomaly",
	"generic protocol command decode":                             "anomaly",
	"device retrieving external ip address detected":              "anomaly",
	"a suspicious string was detected":                            "anomaly",
	"a tcp connection was detected":                               "network",
}

func (a *alert) kind() string {
	name := " " + strings.ToUpper(string(a.Name)) + " "
	switch {
	case strings.Contains(name, "SQL INJECTION") || strings.Contains(name, " SQLI "):
		return "sql_injection"
	case strings.Contains(name, "CROSS SITE SCRIPTING") || strings.Contains(name, " XSS "):
		return "xss"
	case strings.Contains(name, "BRUTE FORCE") || strings.Contains(name, "BRUTEFORCE"):
		return "brute_force"
	}
	if t := categories[strings.ToLower(string(a.Category))]; t != "" {
		return t
	}
	return "network"
}

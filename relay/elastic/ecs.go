package elastic

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

// ecsVersion is the version of the Elastic Common Schema whose names and
// closed lists are used here.
const ecsVersion = "9.4.0"

// Values of event.kind. The "External Alerts" rule makes one alert of its own
// from each document of kind alert.
const (
	kindAlert = "alert"
	kindEvent = "event"
	kindState = "state"
)

// severityNumber gives event.severity. That rule knows these four numbers and
// no others, so what is below low is low too.
func severityNumber(s hub.Severity) int64 {
	switch s {
	case hub.Critical:
		return 99
	case hub.High:
		return 73
	case hub.Medium:
		return 47
	}
	return 21
}

// categoryOf gives event.category, a closed list, for a finding's type. Types
// without a category of their own are what some system detected.
func categoryOf(findingType string) []string {
	switch findingType {
	case "xss", "csrf", "sql_injection":
		return []string{"intrusion_detection", "web"}
	case "brute_force":
		return []string{"authentication", "intrusion_detection"}
	case "malware":
		return []string{"malware"}
	case "vulnerability":
		return []string{"vulnerability"}
	case "misconfiguration", "compliance", "policy":
		return []string{"configuration"}
	case "iam":
		return []string{"iam"}
	case "network":
		return []string{"intrusion_detection", "network"}
	}
	return []string{"intrusion_detection"} // anomaly, billing, custom
}

// isHost reports whether an asset of this type is what ECS calls a host.
func isHost(assetType string) bool {
	switch strings.ToLower(assetType) {
	case "host", "server", "vm", "instance", "virtual_machine", "ec2_instance", "workstation", "node":
		return true
	}
	return false
}

// isUser reports whether an asset of this type is what ECS calls a user.
func isUser(assetType string) bool {
	switch strings.ToLower(assetType) {
	case "user", "iam_user", "identity", "account_user", "principal":
		return true
	}
	return false
}

// isIP reports whether text is an address that a field of type ip takes.
func isIP(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Zone() == ""
}

// Observables are what a SIEM pivots on, picked from a vendor's object.
type observables struct {
	source, destination, user string
	ips, users, hosts, hashes []string
}

func (o *observables) ip(text string) {
	if isIP(text) && !slices.Contains(o.ips, text) {
		o.ips = append(o.ips, text)
	}
}

func (o *observables) host(text string) {
	if text != "" && !slices.Contains(o.hosts, text) {
		o.hosts = append(o.hosts, text)
	}
}

func (o *observables) name(text string) {
	if text != "" && !slices.Contains(o.users, text) {
		o.users = append(o.users, text)
	}
}

// observe reads the well-known text members at the top of a vendor's object.
func (o *observables) observe(v jsontext.Value) {
	if len(v) == 0 || v.Kind() != '{' {
		return
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return
		}
		role := roleOf(name.String())
		if role == 0 || d.PeekKind() != '"' {
			if d.SkipValue() != nil {
				return
			}
			continue
		}
		text, err := d.ReadToken()
		if err != nil {
			return
		}
		o.take(role, text.String())
	}
}

// A role says what the value of a well-known member is.
type role int

const (
	roleSource role = iota + 1
	roleDestination
	roleAddress
	roleUser
	roleHost
	roleHash
)

func roleOf(member string) role {
	switch member {
	case "source_ip", "src_ip", "sourceIp", "sourceIPAddress", "client_ip", "remote_ip", "attacker_ip":
		return roleSource
	case "destination_ip", "dest_ip", "dst_ip", "destinationIp", "target_ip":
		return roleDestination
	case "ip", "ip_address", "ipAddress":
		return roleAddress
	case "user", "username", "user_name", "userName":
		return roleUser
	case "host", "hostname", "host_name":
		return roleHost
	case "sha256", "sha1", "md5", "hash":
		return roleHash
	}
	return 0
}

func (o *observables) take(r role, text string) {
	switch r {
	case roleSource:
		if o.source == "" && isIP(text) {
			o.source = text
		}
		o.ip(text)
	case roleDestination:
		if o.destination == "" && isIP(text) {
			o.destination = text
		}
		o.ip(text)
	case roleAddress:
		o.ip(text)
	case roleUser:
		if o.user == "" {
			o.user = text
		}
		o.name(text)
	case roleHost:
		o.host(text)
	case roleHash:
		if text != "" && !slices.Contains(o.hashes, text) {
			o.hashes = append(o.hashes, text)
		}
	}
}

package elastic

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
)

// common writes what every document has.
func (w *builder) common(tenant hub.TenantID, message string) {
	o := w.open("ecs")
	w.str("version", ecsVersion)
	w.close(o)
	w.str("message", message)
	o = w.open("organization")
	w.str("id", string(tenant))
	w.close(o)
}

// rule writes rule.*. The hub has no field for a source's rule: labels name it
// if the source has one, and a compliance control is one.
func (w *builder) rule(labels map[string]string, title, findingType, source string, c *hub.Compliance) {
	id, ruleset := labels["rule_id"], source
	if c != nil {
		ruleset = first(c.Framework, source)
		id = first(id, c.Control)
	}
	o := w.open("rule")
	w.str("id", id)
	w.str("name", first(labels["rule"], labels["rule_name"], title, findingType))
	w.str("category", findingType)
	w.str("ruleset", ruleset)
	w.str("reference", labels["reference"])
	w.close(o)
}

func (w *builder) observer(labels map[string]string, source string) {
	o := w.open("observer")
	w.str("name", source)
	w.str("product", first(labels["product"], source))
	w.str("vendor", labels["vendor"])
	w.close(o)
}

// asset writes the asset under the ECS names that fit it.
func (w *builder) asset(id string, a *hub.Asset) {
	if a == nil {
		return
	}
	o := w.open("cloud")
	w.str("provider", strings.ToLower(a.Provider))
	w.str("region", a.Region)
	account := w.open("account")
	w.str("id", a.Account)
	w.close(account)
	if isHost(a.Type) && a.Provider != "" {
		instance := w.open("instance")
		w.str("id", id)
		w.str("name", a.Name)
		w.close(instance)
	}
	w.close(o)
	if isHost(a.Type) {
		o = w.open("host")
		w.str("id", id)
		w.str("name", first(a.Name, id))
		w.close(o)
	}
}

// observed writes addresses, users, hosts and hashes, where a SIEM looks for
// them.
func (w *builder) observed(seen *observables) {
	for _, side := range [...]struct{ name, ip string }{{"source", seen.source}, {"destination", seen.destination}} {
		o := w.open(side.name)
		w.str("ip", side.ip)
		w.close(o)
	}
	o := w.open("user")
	w.str("name", seen.user)
	w.close(o)
	o = w.open("related")
	w.strs("ip", seen.ips...)
	w.strs("user", seen.users...)
	w.strs("hosts", seen.hosts...)
	w.strs("hash", seen.hashes...)
	w.close(o)
}

func (w *builder) vulnerability(v *hub.Vulnerability, s hub.Severity, scanner string) {
	if v == nil {
		return
	}
	o := w.open("vulnerability")
	w.str("id", v.CVE)
	if strings.HasPrefix(v.CVE, "CVE-") {
		w.str("enumeration", "CVE")
	}
	if v.CVSS != nil {
		w.str("classification", "CVSS")
		score := w.open("score")
		w.float("base", v.CVSS)
		w.close(score)
	}
	w.str("severity", string(s))
	by := w.open("scanner")
	w.str("vendor", scanner)
	w.close(by)
	w.close(o)
	o = w.open("package")
	w.str("name", v.Package)
	w.close(o)
}

// threat writes the ATT&CK technique that a label names, such as T1110.003.
func (w *builder) threat(labels map[string]string) {
	id := first(labels["mitre_technique"], labels["technique"])
	if !isTechnique(id) {
		return
	}
	o := w.open("threat")
	w.str("framework", "MITRE ATT&CK")
	t := w.open("technique")
	w.strs("id", id[:5])
	if len(id) > 5 {
		sub := w.open("subtechnique")
		w.strs("id", id)
		w.close(sub)
	}
	w.close(t)
	w.close(o)
}

func isTechnique(id string) bool {
	if len(id) != 5 && (len(id) != 9 || id[5] != '.') || id[0] != 'T' {
		return false
	}
	return strings.Trim(id[1:5], "0123456789") == "" && (len(id) == 5 || strings.Trim(id[6:], "0123456789") == "")
}

// labels writes free key and value pairs. ECS wants no dots in their names:
// a SIEM copies them into an index where a dot would make an object. Names
// that become equal share an array.
func (w *builder) labels(name string, labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	type label struct{ name, value string }
	list := make([]label, 0, len(labels))
	for k, v := range labels {
		if k != "" {
			list = append(list, label{labelName(k), v})
		}
	}
	slices.SortFunc(list, func(a, b label) int {
		return strings.Compare(a.name+"\x00"+a.value, b.name+"\x00"+b.value)
	})
	o := w.open(name)
	for i := 0; i < len(list); {
		values := []string{list[i].value}
		end := i + 1
		for ; end < len(list) && list[end].name == list[i].name; end++ {
			values = append(values, list[end].value)
		}
		if len(values) == 1 {
			w.str(list[i].name, values[0])
		} else {
			w.strs(list[i].name, values...)
		}
		i = end
	}
	w.close(o)
}

func labelName(name string) string {
	if len(name) <= rawName && !strings.ContainsAny(name, ".*\\\x00") && utf8.ValidString(name) {
		return name
	}
	return cutName(strings.NewReplacer(".", "_", "*", "_", "\\", "_").Replace(strings.ToValidUTF8(name, "_")))
}

func (w *builder) ownAsset(id string, a *hub.Asset) {
	o := w.open("asset")
	w.str("id", id)
	if a != nil {
		w.str("type", a.Type)
		w.str("name", a.Name)
		w.labels("tags", a.Tags)
	}
	w.close(o)
}

func (w *builder) ownEvent(ev *hub.Event) {
	o := w.open("event")
	w.str("id", string(ev.ID))
	w.str("type", string(ev.Type))
	w.num("sequence", ev.Sequence)
	w.close(o)
}

// ownChange tells what changed, why and by whom. Values become text, because
// one field may change from a number to a list.
func (w *builder) ownChange(d *hub.EventData) {
	o := w.open("change")
	w.str("reason", d.Reason)
	w.str("actor", d.Actor)
	for i, id := range d.Findings {
		if i == 0 {
			w.name("findings")
			w.b = append(w.b, '[')
		}
		w.next()
		w.quote(string(id))
		if i == len(d.Findings)-1 {
			w.b = append(w.b, ']')
		}
	}
	if len(d.Changes) > 0 {
		w.changes(d.Changes)
	}
	w.close(o)
}

func (w *builder) changes(changes hub.Changes) {
	fields := make([]string, 0, len(changes))
	for f := range changes {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	w.name("fields")
	w.b = append(w.b, '[')
	for _, f := range fields {
		w.next()
		w.b = append(w.b, '{')
		w.str("field", f)
		w.str("from", text(changes[f][0]))
		w.str("to", text(changes[f][1]))
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// text gives a value as text: a string as it is, anything else as JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), `"`)
}

func (w *builder) ownCompliance(c *hub.Compliance) {
	if c == nil {
		return
	}
	o := w.open("compliance")
	w.str("framework", c.Framework)
	w.str("control", c.Control)
	w.str("result", c.Result)
	w.close(o)
}

// ownFix writes the version that mends a package: ECS has no name for it.
func (w *builder) ownFix(v *hub.Vulnerability) {
	if v == nil {
		return
	}
	o := w.open("vulnerability")
	w.str("fixed_version", v.FixedVersion)
	w.close(o)
}

// first gives the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

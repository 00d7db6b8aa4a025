// Package falco takes the alerts of Falco and of falcosidekick's webhook
// output, in Falco's JSON format.
//
// An alert of Falco is an event, not a state: it never ends by itself. Its
// identity is the rule with what the rule caught: host, container, process,
// file or peer, user.
package falco

import (
	_ "embed"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

//go:embed sample.yaml
var sample string

// Kind is the entry for the list of connectors.
func Kind() connectors.Kind {
	return connectors.Kind{
		Name:   "falco",
		Doc:    "Falco and falcosidekick: receives runtime alerts of hosts, containers and audit logs",
		Sample: sample,
		Open: func(s connectors.Settings) (connectors.Source, error) {
			return connectors.OpenPush(s, read)
		},
		Format: &connectors.Format{Doc: "Falco's alerts, one JSON object a line", Read: read, Looks: looks},
	}
}

func looks(start []byte) bool {
	return inbound.HasNames(start, "output", "priority", "rule", "output_fields")
}

func read(r io.Reader) connectors.Reading {
	return connectors.ReadItems(r, inbound.Shape{}, finding)
}

type alert struct {
	Hostname inbound.Text            `json:"hostname"`
	Output   inbound.Text            `json:"output"`
	Priority inbound.Text            `json:"priority"`
	Rule     inbound.Text            `json:"rule"`
	Source   inbound.Text            `json:"source"`
	Tags     []inbound.Text          `json:"tags"`
	Time     inbound.Time            `json:"time"`
	Fields   map[string]inbound.Text `json:"output_fields"`
}

// identifying are the fields that tell apart what a rule caught, whichever the
// alert has: of system calls, of Kubernetes' audit log, of clouds.
var identifying = []string{
	"container.id", "proc.name", "fd.name", "user.name",
	"ka.user.name", "ka.verb", "ka.target.resource", "ka.target.namespace", "ka.target.name",
	"ct.user", "ct.name", "ct.region", "ct.request.name", "okta.actor.name", "okta.evt.type", "github.user", "github.repo", "github.type",
}

func finding(piece inbound.Piece) ([]hub.Finding, error) {
	var a alert
	if err := inbound.Decode(piece.Raw, &a, false); err != nil {
		return nil, err
	}
	if a.Rule == "" {
		return nil, errors.New("it names no rule; set json_output: true in Falco")
	}
	severity, err := a.severity()
	if err != nil {
		return nil, err
	}
	f := hub.Finding{
		SourceID: a.identity(), Type: a.kind(), AssetID: a.assetID(), Severity: severity, Status: hub.FindingOpen,
		Title: string(a.Rule), Description: string(a.Output), ObservedAt: a.Time.Time, Raw: piece.Raw,
		Labels: map[string]string{"falco_priority": string(a.Priority), "falco_source": string(a.Source), "falco_tags": joined(a.Tags)},
		Asset:  a.asset(), Payload: a.payload(),
	}
	return []hub.Finding{f}, nil
}

// severity maps Falco's priorities, which are those of syslog.
func (a *alert) severity() (hub.Severity, error) {
	switch strings.ToLower(string(a.Priority)) {
	case "emergency", "alert", "critical":
		return hub.Critical, nil
	case "error":
		return hub.High, nil
	case "warning":
		return hub.Medium, nil
	case "notice":
		return hub.Low, nil
	case "informational", "info", "debug":
		return hub.Info, nil
	}
	return "", errors.New("priority: want one of Emergency, Alert, Critical, Error, Warning, Notice, Informational, Debug")
}

// callerPort is the near end of a connection, whose port differs each time.
var callerPort = regexp.MustCompile(`^(.*):\d+->`)

// identity leaves the host out where Falco only read a log there: which of its
// replicas did means nothing.
func (a *alert) identity() string {
	parts := []string{string(a.Rule), ""}
	if a.ofHost() {
		parts[1] = string(a.Hostname)
	}
	for _, name := range identifying {
		if v, there := a.Fields[name]; there && v != "" {
			parts = append(parts, name+"="+callerPort.ReplaceAllString(string(v), "$1->"))
		}
	}
	return inbound.Key(parts...)
}

// ofHost tells events of the host's own from those of logs that plugins read.
func (a *alert) ofHost() bool {
	return a.Source == "" || a.Source == "syscall" || a.Source == "syscalls"
}

// inContainer tells apart processes of the host, whose container.id is "host".
func (a *alert) inContainer() bool { id := a.Fields["container.id"]; return id != "" && id != "host" }

func (a *alert) assetID() string {
	if pod := a.Fields["k8s.pod.name"]; pod != "" {
		return string(inbound.First(a.Fields["k8s.ns.name"], "default") + "/" + pod)
	}
	if a.inContainer() {
		return string(inbound.First(a.Fields["container.name"], a.Fields["container.id"]))
	}
	if target := a.Fields["ka.target.name"]; target != "" {
		return string(inbound.First(a.Fields["ka.target.namespace"], a.Fields["ka.target.resource"]) + "/" + target)
	}
	if account := inbound.First(a.Fields["ct.recipientaccountid"], a.Fields["github.org"], a.Fields["okta.app"]); account != "" && !a.ofHost() {
		return string(account)
	}
	return string(inbound.First(a.Hostname, a.Fields["evt.hostname"], a.Source, "unknown"))
}

func (a *alert) asset() *hub.Asset {
	asset := &hub.Asset{Type: "host", Name: a.assetID(), Region: string(a.Fields["ct.region"]), Tags: map[string]string{"host": string(a.Hostname)}}
	switch {
	case a.Fields["k8s.pod.name"] != "":
		asset.Type = "kubernetes_pod"
	case a.inContainer():
		asset.Type = "container"
	case !a.ofHost():
		asset.Type = string(a.Source)
	}
	if image := a.Fields["container.image.repository"]; image != "" {
		asset.Tags["image"] = string(image)
		if tag := a.Fields["container.image.tag"]; tag != "" {
			asset.Tags["image"] += ":" + string(tag)
		}
	}
	return asset
}

// kind goes by the rule's tags.
func (a *alert) kind() string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(a.Tags, func(t inbound.Text) bool { return slices.Contains(words, strings.ToLower(string(t))) })
	}
	switch {
	case has("malware", "cryptomining", "crypto_mining", "ransomware"):
		return "malware"
	case has("network", "mitre_command_and_control", "mitre_exfiltration"):
		return "network"
	case has("users", "iam", "mitre_credential_access"):
		return "iam"
	}
	return "anomaly"
}

// steady are fields that are the same each time a rule catches the same; others,
// such as process ids, would make each event new evidence.
var steady = append([]string{
	"proc.cmdline", "proc.exepath", "proc.pname", "proc.aname[2]", "container.name", "container.image.repository", "container.image.tag",
	"container.image.digest", "k8s.ns.name", "k8s.pod.name", "fd.sip", "fd.sport", "fd.l4proto", "evt.type", "user.uid", "ka.response.code",
	"ct.srcip", "ct.src", "ct.error",
}, identifying...)

func (a *alert) payload() jsontext.Value {
	fields := map[string]string{}
	for _, name := range steady {
		if v := a.Fields[name]; v != "" {
			fields[name] = callerPort.ReplaceAllString(string(v), "$1->")
		}
	}
	return inbound.Object(map[string]any{"rule": a.Rule, "source": a.Source, "tags": a.Tags, "output_fields": fields})
}

func joined(tags []inbound.Text) string {
	words := make([]string, len(tags))
	for i, t := range tags {
		words[i] = string(t)
	}
	return strings.Join(words, ",")
}

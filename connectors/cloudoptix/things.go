package cloudoptix

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// An item is an entry of any of the paged lists: they share their frame, and
// differ in moreInfo.
type item struct {
	Type     inbound.Text `json:"accountType"`
	Account  inbound.Text `json:"accountId"`
	Instance inbound.Text `json:"instanceId"`
	Object   inbound.Text `json:"objectId"`
	Name     inbound.Text `json:"name"`
	Function inbound.Text `json:"functionName"`
	Region   inbound.Text `json:"region"`
	Info     more         `json:"moreInfo"`

	raw jsontext.Value
}

// more is what is used of moreInfo; all of it is in the node's attributes.
type more struct {
	Name      inbound.Text   `json:"name"`
	Region    inbound.Text   `json:"region"`
	Zone      inbound.Text   `json:"zone"`
	PublicIP  inbound.Text   `json:"publicIP"`
	PrivateIP inbound.Text   `json:"privateIP"`
	VPC       inbound.Text   `json:"vpcId"`
	VNet      inbound.Text   `json:"vnetId"`
	Tags      jsontext.Value `json:"tags"`
	Mapped    jsontext.Value `json:"mappedTags"`
	Faces     []struct {
		PublicIP inbound.Text `json:"publicIP"`
	} `json:"networkInterfaces"`
	GCPFaces []struct {
		Network inbound.Text `json:"networkId"`
		Access  []struct {
			NAT inbound.Text `json:"natIP"`
		} `json:"accessConfigList"`
	} `json:"networkInterfaceList"`

	ARN       inbound.Text `json:"arn"`
	Email     inbound.Text `json:"primaryEmail"`
	Mail      inbound.Text `json:"mail"`
	Principal inbound.Text `json:"principalName"`

	FunctionARN inbound.Text `json:"functionArn"`
	Instance    inbound.Text `json:"instanceId"`

	NodeIP   inbound.Text `json:"publicIp"`
	VM       inbound.Text `json:"vmId"`
	NodeName inbound.Text `json:"nodeName"`
	Endpoint inbound.Text `json:"endpoint"`
}

// UnmarshalJSON leaves out what cannot be read: the entry counts without.
func (m *more) UnmarshalJSON(b []byte) error {
	type plain more
	var p plain
	if json.Unmarshal(b, &p) == nil {
		*m = more(p)
	}
	return nil
}

// item reports one entry of a list.
func (w *pull) item(list string, n int, raw jsontext.Value) {
	it := item{raw: raw}
	if err := json.Unmarshal(raw, &it); err != nil {
		w.page.Refuse(n, raw, "an entry of "+list+" that cannot be read")
		return
	}
	known := false
	switch path, _, _ := strings.Cut(list, "|"); path {
	case "vms":
		known = w.machine(list, it)
	case "users":
		known = w.user(list, it)
	case "serverless":
		known = w.function(list, it)
	case "containers":
		known = w.container(list, it)
	}
	if !known {
		w.page.Refuse(n, raw, "an entry of "+list+" without a usable id")
	}
}

func (it item) report(kind hub.NodeKind, what, name string, keys ...string) hub.NodeReport {
	return hub.NodeReport{
		Kind: kind, Keys: keys, SourceID: keys[0], Attributes: it.raw,
		Asset: hub.Asset{
			Type: what, Provider: provider(string(it.Type)), Account: string(it.Account), Name: name,
			Region: string(inbound.First(it.Region, it.Info.Region, it.Info.Zone)), Tags: it.tags(),
		},
	}
}

// tags reads tags, which come as an object, or as a text that holds one.
func (it item) tags() map[string]string {
	out := map[string]string{}
	for _, v := range []jsontext.Value{it.Info.Tags, it.Info.Mapped} {
		var text string
		if len(v) > 0 && v.Kind() == '"' && json.Unmarshal(v, &text) == nil {
			v = jsontext.Value(text)
		}
		tags := map[string]inbound.Text{}
		if len(v) > 0 && json.Unmarshal(v, &tags) == nil {
			for name, value := range tags {
				out[name] = string(value)
			}
		}
	}
	return out
}

// machine reports a virtual machine with its addresses and networks.
func (w *pull) machine(list string, it item) bool {
	id := string(it.Instance)
	n := it.report(hub.NodeAsset, "vm", inbound.Said(string(it.Info.Name), it.tags()["Name"], id), id, it.arn())
	if !w.node(list, n) {
		return false
	}
	w.edge(string(it.Account), "contains", id)
	for _, net := range []inbound.Text{it.Info.VPC, it.Info.VNet} {
		w.edge(string(net), "contains", id)
	}
	w.exposed(it.Info.PublicIP, id)
	for _, f := range it.Info.Faces {
		w.exposed(f.PublicIP, id)
	}
	for _, f := range it.Info.GCPFaces {
		w.edge(string(f.Network), "contains", id)
		for _, a := range f.Access {
			w.exposed(a.NAT, id)
		}
	}
	return true
}

// arn is what AWS itself calls a machine.
func (it item) arn() string {
	if provider(string(it.Type)) != "aws" || it.Info.Region == "" || it.Instance == "" {
		return ""
	}
	return "arn:aws:ec2:" + string(it.Info.Region) + ":" + string(it.Account) + ":instance/" + string(it.Instance)
}

// exposed reports a public address through which a thing can be reached.
func (w *pull) exposed(address inbound.Text, key string) {
	ip := strings.TrimSpace(string(address))
	if ip == "" {
		return
	}
	for _, e := range w.page.Edges {
		if e.From == ip && e.To == key {
			return
		}
	}
	w.page.Nodes = append(w.page.Nodes, hub.NodeReport{Kind: hub.NodeNetwork, Keys: []string{ip}, SeenAt: w.now, Asset: hub.Asset{Type: "ip_address", Name: ip}})
	w.edge(ip, "exposes", key)
}

// user reports a user, who can get at the account.
func (w *pull) user(list string, it item) bool {
	if it.Name == "" && it.Info.ARN == "" {
		return false
	}
	own := "cloudoptix:user:" + string(it.Account) + ":" + string(it.Name)
	mail := strings.ToLower(inbound.Said(string(it.Info.Email), string(it.Info.Mail), string(it.Info.Principal)))
	n := it.report(hub.NodeUser, "user", string(it.Name), inbound.Said(string(it.Info.ARN), mail, own), mail, own)
	w.edge(n.Keys[0], "can_access", string(it.Account))
	return w.node(list, n)
}

// function reports a serverless function.
func (w *pull) function(list string, it item) bool {
	if it.Function == "" {
		return false
	}
	own := "cloudoptix:function:" + string(it.Account) + ":" + string(it.Region) + ":" + string(it.Function)
	n := it.report(hub.NodeAsset, "function", string(it.Function), inbound.Said(string(it.Info.FunctionARN), string(it.Info.Instance), own), own)
	w.edge(string(it.Account), "contains", n.Keys[0])
	w.edge(string(it.Info.VPC), "contains", n.Keys[0])
	return w.node(list, n)
}

// container reports a cluster, a node, a pod or a container. A node runs its
// pods, and runs on a machine.
func (w *pull) container(list string, it item) bool {
	id := inbound.Said(string(it.Object), string(it.Info.Instance))
	if id == "" {
		return false
	}
	what := strings.TrimSuffix(list[strings.LastIndexByte(list, '|')+1:], "s")
	named := func(kind string, name inbound.Text) string {
		if name == "" {
			return ""
		}
		return "cloudoptix:" + kind + ":" + string(it.Account) + ":" + string(name)
	}
	key := "cloudoptix:" + what + ":" + id
	keys := []string{key}
	if what == "cluster" || what == "node" {
		keys = append(keys, named(what, it.Name)) // pods name their node
	}
	w.node(list, it.report(hub.NodeAsset, "kubernetes_"+what, string(it.Name), keys...))
	w.edge(string(it.Account), "contains", key)
	switch what {
	case "cluster":
		w.edge(string(it.Info.VPC), "contains", key)
	case "node":
		w.edge(key, "runs_on", string(it.Info.VM))
		w.exposed(it.Info.NodeIP, key)
	case "pod":
		w.edge(named("node", it.Info.NodeName), "runs", key)
	}
	return true
}

package cloudoptix

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// search answers for every key; it finds alerts, machines, users, functions,
// clusters and pods, and nothing of other sorts. The document tells no shape, so
// the lists' is taken.
func (s *Sim) search(w http.ResponseWriter, r *http.Request) {
	s.query(r, "searchTerm", "filters", "page", "size")
	q, key := r.URL.Query(), r.PathValue("key")
	if !slices.Contains(strings.Fields(searchKeys), key) {
		s.wrong(w, r, 404, noResource)
		return
	}
	page, size := 1, 0
	var err error
	if q.Get("page") != "" {
		if page, err = strconv.Atoi(q.Get("page")); err != nil || page < 1 {
			s.wrong(w, r, 400, pageFrom1)
			return
		}
	}
	if size, err = strconv.Atoi(q.Get("size")); err != nil || size < 1 || size > 10_000 {
		s.wrong(w, r, 400, improper)
		return
	}
	for f := range strings.SplitSeq(q.Get("filters"), ";") {
		if name, values, given := strings.Cut(f, "="); q.Get("filters") != "" && (!given || name == "" || values == "") {
			s.Violate(r, "filter %q is not a name, = and values", f)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, pageOf(s.found(key, q), page, size, 1))
}

// found gives what suits filters and term.
func (s *Sim) found(key string, q url.Values) []any {
	var out []any
	for _, x := range s.searched(key) {
		if f := fieldsOf(x); f.suitFilters(q.Get("filters")) && f.suitTerm(q.Get("searchTerm")) {
			out = append(out, x)
		}
	}
	return out
}

// searched gives everything of a key.
func (s *Sim) searched(key string) (out []any) {
	if key == "ALERT" {
		for _, a := range s.alerts {
			out = append(out, a)
		}
		return out
	}
	provider, sort, _ := strings.Cut(key, "_")
	list := map[string]string{"HOST": "vms", "USER": "users", "LAMBDA": "serverless", "FUNCTION": "serverless"}[sort]
	suit := of(provider)
	if kind := map[string]string{"CLUSTER": "clusters", "NODE": "nodes", "POD": "pods", "CONTAINER": "containers"}[sort]; kind != "" {
		service := map[string]string{"AWS": "eks", "AZURE": "aks", "GCP": "gke", "NATIVE": "native"}[provider]
		list, suit = service+"/"+kind, func(Thing) bool { return true }
	}
	for _, t := range s.things[list] {
		if suit(t) {
			out = append(out, t)
		}
	}
	return out
}

// fields are the values of a thing by the names of its members, in lower case and
// joined by dots; those of moreInfo without it, those of a list all under its name.
type fields map[string][]string

func fieldsOf(thing any) fields {
	text, err := json.Marshal(thing)
	if err != nil {
		panic(err) // it is served as JSON too
	}
	f := fields{}
	f.add("", string(text))
	return f
}

// add takes in a JSON text, and text that holds JSON, as tags do.
func (f fields) add(name, text string) {
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if !strings.HasPrefix(text, "{") || d.Decode(&v) != nil {
		f[name] = append(f[name], text)
		return
	}
	f.walk(name, v)
}

func (f fields) walk(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for member, x := range v {
			if member = strings.ToLower(member); name != "" {
				member = name + "." + member
			}
			f.walk(strings.TrimPrefix(member, "moreinfo."), x)
		}
	case []any:
		for _, x := range v {
			f.walk(name, x)
		}
	case string:
		f.add(name, v)
	case json.Number:
		f.add(name, v.String())
	case bool:
		f.add(name, strconv.FormatBool(v))
	}
}

// suitFilters reads "a=1,2;b=3": one of the values of each.
func (f fields) suitFilters(filters string) bool {
	for one := range strings.SplitSeq(filters, ";") {
		name, values, given := strings.Cut(one, "=")
		if given && !slices.ContainsFunc(strings.Split(values, ","), func(v string) bool { return slices.Contains(f[strings.ToLower(name)], v) }) {
			return false
		}
	}
	return true
}

// suitTerm reads "tags.name:test* or isPublic:true", and words without a name,
// which any member may have. Terms side by side have to suit all of them.
func (f fields) suitTerm(term string) bool {
	if term == "" {
		return true
	}
	suits, whole := true, false
	for _, word := range strings.Fields(strings.ToLower(term)) {
		switch word {
		case "or":
			whole, suits = whole || suits, true
		case "and":
		default:
			suits = suits && f.suitWord(word)
		}
	}
	return whole || suits
}

func (f fields) suitWord(word string) bool {
	name, pattern, named := strings.Cut(word, ":")
	if !named {
		name, pattern = "", word
	}
	for member, values := range f {
		if named && member != name {
			continue
		}
		for _, v := range values {
			if match(pattern, strings.ToLower(v)) {
				return true
			}
		}
	}
	return false
}

// match compares with a pattern that may have *.
func match(pattern, text string) bool {
	// path.Match keeps * from crossing a slash, and knows more than *.
	plain := strings.NewReplacer("/", "\x00", `\`, `\\`, "[", `\[`, "?", `\?`)
	ok, err := path.Match(plain.Replace(pattern), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}

const searchKeys = `ALERT AWS_ACTIVITY_LOG AWS_AMI AWS_CLUSTER AWS_CONTAINER AWS_CONTAINER_FARGATE AWS_EBS_VOLUME AWS_ES AWS_EXTERNAL_ACCESS
AWS_GROUP AWS_HIGHRISK_ANOMALY AWS_HOST AWS_INCOMING_TRAFFIC AWS_INGRESS AWS_LAMBDA AWS_NETWORK_POLICY AWS_NODE AWS_NODE_GROUP
AWS_OUTGOING_TRAFFIC AWS_POD AWS_RBAC_ROLE AWS_RDS AWS_REDSHIFT_CLUSTER AWS_ROLE AWS_S3 AWS_SECURITY_GROUP AWS_SERVICE AWS_SSO_USER
AWS_TASK_DEFINITION AWS_USER AWS_VPC AZURE_ACTIVITY_LOG AZURE_APP_SERVICE AZURE_CLUSTER AZURE_CONTAINER AZURE_COSMOS_DB AZURE_DB
AZURE_FUNCTION AZURE_GROUP AZURE_HOST AZURE_INCOMING_TRAFFIC AZURE_INGRESS AZURE_IOT_HUB AZURE_LOGIC_APP AZURE_NETWORK_POLICY
AZURE_NETWORK_SECURITY_GROUP AZURE_NODE AZURE_NODE_GROUP AZURE_OUTGOING_TRAFFIC AZURE_POD AZURE_RBAC_ROLE AZURE_RESOURCE_GROUP
AZURE_SERVICE AZURE_SQL_SERVER AZURE_STORAGE_ACCOUNT AZURE_USER AZURE_VIRTUAL_NETWORK GCP_ACTIVITY_LOG GCP_BUCKET GCP_CLUSTER
GCP_CONTAINER GCP_FIREWALL GCP_GROUP GCP_HOST GCP_INCOMING_TRAFFIC GCP_INGRESS GCP_NETWORK_POLICY GCP_NODE GCP_NODEPOOL
GCP_OUTGOING_TRAFFIC GCP_POD GCP_RBAC_ROLE GCP_ROLE_BINDING GCP_SERVICE GCP_SQL GCP_USER GCP_VPC NATIVE_CONTAINER NATIVE_INGRESS
NATIVE_NETWORK_POLICY NATIVE_NODE NATIVE_POD NATIVE_RBAC_ROLE NATIVE_SERVICE IMAGE_SCAN_DETAILS IMAGE_REGISTRY`

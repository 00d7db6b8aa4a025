package cloudoptix

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

const (
	providerUnknown = "Provider type not supported"
	above500        = "Pageable size cannot be greater than 500"
	below100        = "Pageable size cannot be less than 100"
)

// id is what a thing is known by.
func (t Thing) id(list string) string {
	name := "objectId"
	switch list {
	case "accounts":
		name = "accountId"
	case "vms":
		name = "instanceId"
	case "users":
		name = "name"
	case "serverless":
		name = "functionName"
	}
	id, _ := t[name].(string)
	return id
}

// largePage reads page and size of the inventory, whose pages start with 0.
func (s *Sim) largePage(r *http.Request, strict bool) (page, size int, fault string) {
	q := r.URL.Query()
	page, err := strconv.Atoi(q.Get("page"))
	if q.Get("page") != "" && (err != nil || page < 0) {
		if strict {
			return 0, 0, pageFrom1
		}
		s.Violate(r, "page %q is taken for 0", q.Get("page"))
	}
	page = max(page, 0)
	size, err = strconv.Atoi(q.Get("size"))
	switch {
	case err != nil || size < 100:
		return 0, 0, below100
	case size > 500:
		return 0, 0, above500
	}
	return page, size, ""
}

// shelf answers with a page of the things of a list that suit; the provider and
// its like are checked already.
func (s *Sim) shelf(w http.ResponseWriter, r *http.Request, list string, strict bool, suit func(Thing) bool) {
	page, size, fault := s.largePage(r, strict)
	if fault != "" {
		s.wrong(w, r, 400, fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := listed(r.URL.Query().Get("accountIds"))
	if gone := s.missing(ids); len(gone) > 0 {
		s.refuse(w, r, 400, noAccounts(gone))
		return
	}
	var some []Thing
	for _, t := range s.things[list] {
		account, _ := t["accountId"].(string)
		if (len(ids) == 0 || slices.Contains(ids, account)) && suit(t) {
			some = append(some, t)
		}
	}
	out := pageOf(some, page, size, 0)
	unkind.Answer(w, 200, map[string]any{
		"errorMessage": nil, "data": out.Data, "currentPage": out.CurrentPage, "hasNext": out.HasNext, "hasPrevious": out.HasPrevious,
		"totalPages": out.TotalPages, "size": out.Size,
	})
}

func of(provider string) func(Thing) bool {
	return func(t Thing) bool {
		kind, _ := t["accountType"].(string)
		return strings.EqualFold(kind, provider)
	}
}

func (s *Sim) listVMs(w http.ResponseWriter, r *http.Request)   { s.byProvider(w, r, "vms") }
func (s *Sim) listUsers(w http.ResponseWriter, r *http.Request) { s.byProvider(w, r, "users") }

func (s *Sim) byProvider(w http.ResponseWriter, r *http.Request, list string) {
	s.query(r, "accountIds", "provider", "page", "size")
	provider := r.URL.Query().Get("provider")
	if !slices.Contains([]string{"AWS", "Azure", "GCP"}, provider) {
		s.wrong(w, r, 400, providerUnknown)
		return
	}
	s.shelf(w, r, list, false, of(provider))
}

func (s *Sim) listServerless(w http.ResponseWriter, r *http.Request) {
	s.query(r, "accountIds", "provider", "page", "size")
	provider := r.URL.Query().Get("provider")
	if !slices.Contains([]string{"AWS", "Azure"}, provider) {
		s.wrong(w, r, 400, "Provider "+provider+" not supported")
		return
	}
	s.shelf(w, r, "serverless", true, of(provider))
}

var containerTypes = []string{"clusters", "nodes", "pods", "containers"}

func (s *Sim) listContainers(w http.ResponseWriter, r *http.Request) {
	s.query(r, "cloudProvider", "containerType", "accountIds", "page", "size")
	q := r.URL.Query()
	provider, kind := q.Get("cloudProvider"), q.Get("containerType")
	unsupported := "Provider:" + provider + " not supported for Container-Type:" + kind
	switch {
	case provider == "":
		s.wrong(w, r, 400, "Provider not provided.")
	case kind == "":
		s.wrong(w, r, 400, "Container-Type not provided.")
	case !slices.Contains(containerTypes, kind):
		s.wrong(w, r, 400, "Invalid Container-Type:"+kind)
	case provider == "native" && kind == "clusters":
		s.refuse(w, r, 400, unsupported) // the document does not say which, so asking is no fault
	case !slices.Contains([]string{"native", "eks", "aks", "gke"}, provider):
		s.wrong(w, r, 400, unsupported)
	default:
		s.shelf(w, r, provider+"/"+kind, false, func(Thing) bool { return true })
	}
}

func (s *Sim) listAccounts(w http.ResponseWriter, r *http.Request) {
	s.query(r, "accountIds", "provider")
	q := r.URL.Query()
	provider := q.Get("provider")
	if provider != "" && !slices.Contains([]string{"AWS", "Azure", "GCP", "Kubernetes", "Docker"}, provider) {
		s.wrong(w, r, 400, providerUnknown)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := listed(q.Get("accountIds"))
	if gone := s.missing(ids); len(gone) > 0 {
		s.refuse(w, r, 400, noAccounts(gone))
		return
	}
	some := []Thing{}
	for _, t := range s.things["accounts"] {
		if (len(ids) == 0 || slices.Contains(ids, t.id("accounts"))) && (provider == "" || t["accountType"] == provider) {
			some = append(some, t)
		}
	}
	unkind.Answer(w, 200, some)
}

// search answers for every key; it finds alerts, machines, functions and users,
// and nothing of other sorts. The document tells no shape, so the lists' is taken.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	unkind.Answer(w, 200, pageOf(s.found(key, q), page, size, 1))
}

// found gives what suits the filters, by the names in the thing and in moreInfo.
func (s *Sim) found(key string, q url.Values) []any {
	var out []any
	if key == "ALERT" {
		for _, a := range s.alerts {
			out = append(out, a)
		}
		return out
	}
	list := map[string]string{
		"AWS_HOST": "vms", "AZURE_HOST": "vms", "GCP_HOST": "vms", "AWS_USER": "users", "AZURE_USER": "users", "GCP_USER": "users",
		"AWS_LAMBDA": "serverless", "AZURE_FUNCTION": "serverless", "AWS_CLUSTER": "eks/clusters", "AWS_POD": "eks/pods",
	}[key]
	provider, _, _ := strings.Cut(key, "_")
	for _, t := range s.things[list] {
		if of(provider)(t) && t.suits(q.Get("filters")) {
			out = append(out, t)
		}
	}
	return out
}

// suits reads "a=1,2;b=3".
func (t Thing) suits(filters string) bool {
	for _, f := range strings.Split(filters, ";") {
		name, values, given := strings.Cut(f, "=")
		if !given {
			continue
		}
		is, there := t[name]
		if info, ok := t["moreInfo"].(Thing); ok && !there {
			is = info[name]
		}
		if !slices.Contains(strings.Split(values, ","), fmt.Sprint(is)) {
			return false
		}
	}
	return true
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

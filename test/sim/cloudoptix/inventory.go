package cloudoptix

import (
	"net/http"
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

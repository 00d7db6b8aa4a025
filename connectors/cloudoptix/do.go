package cloudoptix

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// A command is what the actions share that are more than their call.
type command struct {
	Files      []file   `json:"files"`
	IPs        []string `json:"ips"`
	AccountIDs []string `json:"accountIds"`
	Repo       string   `json:"repo_url"`
	RepoURL    string   `json:"repoURL"`
	Branch     string   `json:"branch"`
	Save       bool     `json:"save_results_to_account"`
	Policy     string   `json:"policy_name"`
	Task       string   `json:"taskId"`
	Scan       string   `json:"scan_id"`
}

// Do performs an action. Cloud Optix takes no idempotency key. Repeating an
// action changes nothing more: lists are sets, and it tells of a scan of images
// that is there already as a duplicate. A repeated template scan finds the same
// again.
func (s *Source) Do(ctx context.Context, action, _ string, params jsontext.Value) (jsontext.Value, error) {
	call, err := connectors.CallOf(endpoints(), action, params)
	if err != nil {
		return nil, err
	}
	var c command
	own := []string{actionScanImages, actionScanNamed, actionScanTemplates, actionTask, actionReport, actionAlertOn, actionAllow}
	if slices.Contains(own, action) {
		if err := json.Unmarshal(params, &c); err != nil {
			return nil, hub.Wrap(hub.Invalid, err, action+" has a parameter of another type than it wants")
		}
	}
	switch action {
	case actionScanImages, actionScanTemplates:
		err = upload(&call, c.Files)
	case actionAlertOn, actionAllow:
		err = addresses(&call, c, action == actionAllow)
	case actionReport:
		call.Query.Del("repo_url") // for us only
		call.Query.Del("branch")
	}
	if err != nil {
		return nil, err
	}
	answer, err := s.api.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	if err := s.bring(ctx, action, c, answer); err != nil {
		return nil, err
	}
	return s.begun(ctx, action, c, answer), nil
}

// bring takes findings in that an answer holds. If that fails, the action is
// made again, which only reads.
func (s *Source) bring(ctx context.Context, action string, c command, a connectors.Answer) error {
	var out outcome
	switch action {
	case actionTask:
		out = readTask(a.Body, scan{Kind: scanImage, ID: c.Task}, a.At)
	case actionImage:
		out = readImage(a.Body, a.At)
	case actionReport:
		out = readReport(a.Body, scan{Kind: scanIaC, ID: c.Scan, Repo: c.Repo, Branch: c.Branch}, a.At)
	}
	if len(out.Findings)+len(out.Rejects) == 0 || s.accept == nil {
		return nil
	}
	_, err := s.accept(ctx, out.Batch)
	return err
}

// begun has the next pulls look for a scan's result, and gives the action's.
func (s *Source) begun(ctx context.Context, action string, c command, a connectors.Answer) jsontext.Value {
	members := map[string]jsontext.Value{}
	scans := action == actionScanImages || action == actionScanNamed || action == actionScanTemplates
	if !scans || json.Unmarshal(a.Body, &members) != nil {
		return a.Result()
	}
	x := scan{Kind: scanImage, Repo: inbound.Said(c.Repo, c.RepoURL), Branch: c.Branch, Since: time.Now()}
	x.ID = id(members["taskId"])
	if action == actionScanTemplates {
		x.Kind, x.ID, x.Scope = scanIaC, id(members["scan_id"]), c.scope()
	}
	followed := false
	if !c.Save || x.Kind == scanImage { // what is saved there comes as alerts
		followed = s.await(ctx, x)
	}
	members["followed"] = jsontext.Value(strconv.FormatBool(followed))
	out, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return a.Result()
	}
	return out
}

// scope says which templates a scan is of, "" if they have no repository.
func (c command) scope() string {
	if c.Repo == "" {
		return ""
	}
	parts := []string{c.Repo, c.Branch, c.Policy}
	for _, f := range c.Files {
		parts = append(parts, f.Name)
	}
	slices.Sort(parts[3:])
	d := connectors.DigestOf(parts...)
	return hex.EncodeToString(d[:])
}

// id reads an id, "" if there is none.
func id(v jsontext.Value) string {
	if len(v) == 0 || v.Kind() == 'n' {
		return ""
	}
	return connectors.Text(v)
}

// addresses makes the body of a list of addresses. The allow-list is an object
// and takes ranges; the other is an array of one.
func addresses(call *connectors.Call, c command, allow bool) error {
	if len(c.IPs) == 0 {
		return hub.E(hub.Invalid, "/ips: want one address at least")
	}
	for _, ip := range c.IPs {
		_, err := netip.ParseAddr(ip)
		if _, bad := netip.ParsePrefix(ip); err != nil && (!allow || bad != nil) {
			return hub.E(hub.Invalid, "/ips: "+connectors.Quote(ip)+" is no address, or a range where none is taken")
		}
	}
	entry := map[string]any{"data": map[string]any{"ips": c.IPs}}
	if len(c.AccountIDs) > 0 {
		entry["accountIds"] = c.AccountIDs
	}
	var whole any = entry
	if !allow {
		whole = []any{entry}
	}
	body, err := json.Marshal(whole, json.Deterministic(true))
	call.Body, call.Query, call.Method = body, nil, http.MethodPost
	return err
}

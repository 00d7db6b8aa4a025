package cloudoptix

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// Names of the actions that need more than their call.
const (
	actionScanImages    = "cloudoptix.scan_images"
	actionScanNamed     = "cloudoptix.scan_images_by_name"
	actionScanTemplates = "cloudoptix.scan_iac"
	actionTask          = "cloudoptix.image_scan_result"
	actionImage         = "cloudoptix.container_scan_result"
	actionReport        = "cloudoptix.iac_scan_report"
	actionAlertOn       = "cloudoptix.alert_on_outbound_ips"
	actionAllow         = "cloudoptix.allow_ips"
)

func text(name, doc string) connectors.ParamSpec {
	return connectors.ParamSpec{Name: name, Type: connectors.ParamString, Doc: doc}
}

func needed(p connectors.ParamSpec) connectors.ParamSpec { p.Required = true; return p }

func typed(p connectors.ParamSpec, t connectors.ParamType) connectors.ParamSpec {
	p.Type = t
	return p
}

func oneOf(p connectors.ParamSpec, words ...string) connectors.ParamSpec { p.Enum = words; return p }

// endpoints are the calls of the document that playbooks may make. Parameters
// have the document's names.
func endpoints() []connectors.Endpoint {
	of := func(name, doc, method, path string, params ...connectors.ParamSpec) connectors.Endpoint {
		e := connectors.Endpoint{ActionSpec: connectors.ActionSpec{Name: name, Doc: doc, Params: params}, Method: method, Path: root + path, Check: check}
		for _, p := range params {
			e.Query = append(e.Query, p.Name)
		}
		return e
	}
	number := func(name, doc string) connectors.ParamSpec { return typed(text(name, doc), connectors.ParamNumber) }
	list := func(name, doc string) connectors.ParamSpec { return typed(text(name, doc), connectors.ParamArray) }
	yes := func(name, doc string) connectors.ParamSpec { return typed(text(name, doc), connectors.ParamBoolean) }
	const when = "such as 2026-01-31T12:00:00+00:00"
	from, to := text("timeFrom", when), text("timeTo", when)
	page, size := number("page", "from 1"), number("size", "50 at most, 20 if not given")
	paged := yes("isPageable", "true: in pages")
	repo, branch := text("repo_url", "of the repository"), text("branch", "")
	who, mail := text("committer_name", ""), text("committer_email", "")
	files := needed(list("files", "objects with name and content, or base64 instead of content"))
	accounts := list("accountIds", "none: all accounts")
	filters := []connectors.ParamSpec{
		number("days", "1 to 365; not together with lastSeenFrom and lastSeenTo"), oneOf(text("alertType", ""), alertTypes()...),
		text("providerList", "AWS, Azure"), text("policyTagList", strings.Join(policyTags(), ", ")), text("accountIds", ""),
		text("lastSeenFrom", when), text("lastSeenTo", when), oneOf(text("states", ""), alertStates()...),
	}
	return []connectors.Endpoint{
		of("cloudoptix.count_alerts", "counts alerts by severity", "GET", "/alerts/count", filters...),
		of("cloudoptix.list_alerts", "lists a page of alerts by any filter", "GET", "/alerts", append(filters[:len(filters):len(filters)],
			oneOf(text("severity", ""), severities()...), needed(page), size)...),
		of("cloudoptix.search", "searches assets, logs, traffic or alerts", "GET", "/search/{searchKey}",
			needed(oneOf(text("searchKey", "what to search"), searchKeys()...)), text("searchTerm", "such as tags.name:test*"),
			text("filters", "such as instanceId=i-1,i-2;isPublic=true"), number("page", "from 1"), needed(number("size", "10000 at most"))),
		of(actionScanImages, "scans the images that files of a repository name; the result becomes findings", "POST", "/image-scanning/submit-for-scan",
			files, needed(repo), needed(branch), who, mail),
		of(actionScanNamed, "scans images by their full names; the result becomes findings", "POST", "/image-scanning/submit-for-scan/by-image-name",
			needed(text("repoURL", "to be associated with the images")), needed(text("imageNames", "separated by commas"))),
		of(actionTask, "gives status and result of an image scan; what is done becomes findings", "GET", "/image-scanning/get-scan-result", needed(text("taskId", ""))),
		of(actionImage, "gives what is known of one image, which becomes a finding", "GET", "/image-scanning/container-scan-result", needed(text("container", "full name with registry"))),
		of(actionScanTemplates, "scans infrastructure templates; the report becomes findings, unless it is saved to the account and comes as alerts", "POST", "/iac/scan",
			files, repo, branch, who, mail, yes("async", "true if not given"), yes("save_results_to_account", "false if not given"), text("policy_name", "none: all")),
		of("cloudoptix.iac_scan_status", "says whether a template scan is done", "GET", "/iac/scan/status", needed(text("scan_id", ""))),
		of(actionReport, "gives the report of a template scan that is done; it becomes findings", "GET", "/iac/scan/detailedReport", needed(text("scan_id", "")),
			text("repo_url", "as in the scan: its findings are known again by it"), text("branch", "as in the scan")),
		of("cloudoptix.vpc_traffic", "lists outgoing traffic of a VPC", "GET", "/outgoingtraffic/vpc",
			needed(text("accountId", "")), needed(text("vpcId", "")), paged, page, size, from, to),
		of("cloudoptix.instance_traffic", "lists outgoing traffic of an instance", "GET", "/outgoingtraffic/instance",
			needed(text("instanceId", "")), paged, page, size, from, to),
		of(actionAlertOn, "has Cloud Optix alert on traffic to addresses (not every customer has it)", "POST", "/outboundtraffic/ipList",
			needed(list("ips", "addresses")), accounts),
		of(actionAllow, "puts addresses and ranges on the allow-list", "POST", "/whitelistIPs", needed(list("ips", "addresses and ranges")), accounts),
	}
}

// Actions lists what Cloud Optix does for playbooks.
func (*Source) Actions() []connectors.ActionSpec { return connectors.Specs(endpoints()) }

// check keeps the document's bounds, so that a mistake is told before the call.
func check(params map[string]jsontext.Value) error {
	for name, v := range params {
		fault := ""
		switch name {
		case "days":
			fault = between(v, 1, 365)
		case "page":
			fault = between(v, 1, 1<<31)
		case "size":
			fault = between(v, 1, 10_000)
			if params["searchKey"] == nil {
				fault = between(v, 1, 50)
			}
		case "lastSeenFrom", "lastSeenTo", "timeFrom", "timeTo":
			if inbound.ParseTime(connectors.Text(v)).IsZero() {
				fault = "want a time such as 2026-01-31T12:00:00+00:00"
			}
		}
		if fault != "" {
			return hub.E(hub.Invalid, "/"+name+": "+fault)
		}
	}
	if params["days"] != nil && (params["lastSeenFrom"] != nil || params["lastSeenTo"] != nil) {
		return hub.E(hub.Invalid, "/days: want days or a span of time, not both")
	}
	if string(params["isPageable"]) == "true" && params["page"] == nil {
		return hub.E(hub.Invalid, "/page: is required where isPageable is true")
	}
	for _, span := range [][2]string{{"lastSeenFrom", "lastSeenTo"}, {"timeFrom", "timeTo"}} {
		from, to := params[span[0]], params[span[1]]
		if from != nil && to != nil && !inbound.ParseTime(connectors.Text(to)).After(inbound.ParseTime(connectors.Text(from))) {
			return hub.E(hub.Invalid, "/"+span[1]+": want a time after "+span[0])
		}
	}
	return nil
}

func between(v jsontext.Value, low, high int) string {
	var n int
	if json.Unmarshal(v, &n) != nil || n < low || n > high {
		return "want a whole number within the document's bounds"
	}
	return ""
}

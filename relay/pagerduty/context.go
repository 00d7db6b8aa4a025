package pagerduty

import (
	"net/url"

	"github.com/tocsin/tocsin/hub"
)

// Limits of what hangs on an incident, which PagerDuty does not tell: enough for
// people, and far from the limit of the whole.
const (
	maxLinks  = 20
	maxImages = 10
	maxURL    = 2048
)

// A link is shown with the incident.
type link struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

// An image is shown with the incident, which links to Href.
type image struct {
	Src  string `json:"src"`
	Href string `json:"href,omitempty"`
	Alt  string `json:"alt,omitempty"`
}

// isWeb reports whether text is the address of a web page.
func isWeb(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && len(text) <= maxURL
}

func isHTTPS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && isWeb(text)
}

// linkLabels are labels that hold the address of a page for responders.
var linkLabels = [...]struct{ label, text string }{
	{"runbook", "Runbook"}, {"runbook_url", "Runbook"}, {"reference", "Reference"}, {"url", "At the source"},
}

// linksOf gives the links of a step, then those that labels of the alert name.
// What is no address is left out: PagerDuty would refuse the whole event.
func linksOf(ev *hub.Event, p *params) []any {
	all := p.Links
	if a := ev.Data.Alert; a != nil {
		for _, l := range linkLabels {
			all = append(all[:len(all):len(all)], link{a.Labels[l.label], l.text})
		}
	}
	var out []any
	seen := map[string]bool{}
	for _, l := range all {
		if isWeb(l.Href) && !seen[l.Href] && len(out) < maxLinks-1 {
			out = append(out, webLink(l.Href, l.Text))
			seen[l.Href] = true
		}
	}
	return out
}

func webLink(href, text string) link { return link{href, cut(text, maxField)} }

// imagesOf gives the images of a step. PagerDuty takes none but over HTTPS.
func imagesOf(p *params) []any {
	var out []any
	for _, i := range p.Images {
		if !isHTTPS(i.Src) || len(out) == maxImages {
			continue
		}
		if !isWeb(i.Href) {
			i.Href = ""
		}
		i.Alt = cut(i.Alt, maxField)
		out = append(out, i)
	}
	return out
}

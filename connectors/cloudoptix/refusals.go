package cloudoptix

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

// advices say what to do about each text that the document lists for a refusal.
// The first whose words are all in the text counts.
func advices() []advice {
	const dates = "; a time is written like 2026-01-31T12:00:00+00:00"
	return []advice{
		{"apikey not provided", hub.Unauthorized, "Cloud Optix got no API key: something between here and there takes the Authorization header away, or api_key is blank"},
		{"unable to retrieve user", hub.Unauthorized, "Cloud Optix knows no customer for the API key; make a new one in its console and put it into api_key"},
		{"api key not valid", hub.Unauthorized, "Cloud Optix does not know the API key; put a valid one into api_key"},
		{"apikey expired", hub.Unauthorized, "the API key of Cloud Optix has expired or is not valid; generate a new one in its console and put it into api_key"},
		{"unauthorized access", hub.Unauthorized, "the API key of Cloud Optix has expired or is not valid; generate a new one in its console and put it into api_key"},
		{"account ids not found", hub.Invalid, "Cloud Optix does not watch all of these accounts; take those that are gone out of account_ids"},
		{"alert type not supported", hub.Invalid, "Cloud Optix does not know the alert type; want " + strings.Join(alertTypes(), ", ")},
		{"provider type not supported", hub.Invalid, "Cloud Optix does not know the provider here; names are case-sensitive: AWS, Azure, GCP, Kubernetes, Docker"},
		{"provider not provided", hub.Invalid, "Cloud Optix wants a provider of containers: native, eks, aks or gke"},
		{"container-type not provided", hub.Invalid, "Cloud Optix wants a type of containers: clusters, nodes, pods or containers"},
		{"invalid container-type", hub.Invalid, "Cloud Optix does not know the type of containers; want clusters, nodes, pods or containers"},
		{"not supported for container-type", hub.NotFound, "Cloud Optix has no such containers for this provider"},
		{"provider not supported", hub.NotFound, "Cloud Optix has nothing of this sort for the provider"},
		{"only set one of the filters", hub.Invalid, "give either days or a span of time, not both"},
		{"days cannot be less", hub.Invalid, "days must be 1 to 365"},
		{"not in proper format", hub.Invalid, "Cloud Optix cannot read the time" + dates},
		{"invalid date format", hub.Invalid, "Cloud Optix cannot read the times" + dates},
		{"should come after", hub.Invalid, "the end of the span of time must be later than its start"},
		{"retry using parameters", hub.Invalid, "there is too much outgoing traffic for one answer; give time_from and time_to, or a shorter span"},
		{"size cannot be greater", hub.Invalid, "the page is too large; want size 50 at most, or 500 for the inventory"},
		{"size cannot be less", hub.Invalid, "the page is too small; want size 100 at least for the inventory"},
		{"page number should be greater", hub.Invalid, "pages start with 1 here"},
		{"data object invalid", hub.Invalid, "Cloud Optix does not accept the list; every entry must be an IP address, or a range in the allow-list"},
		{"invalid data", hub.Invalid, "Cloud Optix knows no such instance, account or VPC"},
		{"proper arguments not provided", hub.Invalid, "Cloud Optix misses a parameter or cannot read one; see the action's list"},
		{"unable to find the scan", hub.NotFound, "Cloud Optix knows no scan with this id; submit it again"},
	}
}

type advice struct {
	words string
	kind  hub.Kind
	text  string
}

// meaning makes an error of a text that the document lists, or of any other.
func meaning(text string) *hub.Error {
	low := strings.ToLower(text)
	for _, a := range advices() {
		if suits(low, a.words) {
			return hub.E(a.kind, a.text+theirs(text))
		}
	}
	return hub.E(hub.Invalid, "Cloud Optix refused the request"+theirs(text))
}

// suits reports whether all words are in the text, in this order: ids and names
// may stand between.
func suits(text, words string) bool {
	for _, w := range strings.Fields(words) {
		_, rest, found := strings.Cut(text, w)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

func theirs(text string) string {
	if text == "" {
		return ""
	}
	return ": " + connectors.Quote(text)
}

// wordsOf gives the text of a refusal, in whichever member it stands: the
// document lists texts without telling the shape of their answer.
func wordsOf(body []byte) string {
	var r struct {
		Message      inbound.Text `json:"message"`
		ErrorMessage inbound.Text `json:"errorMessage"`
		Error        inbound.Text `json:"error"`
	}
	if json.Unmarshal(body, &r) == nil {
		return inbound.Said(string(r.ErrorMessage), string(r.Message), string(r.Error))
	}
	if len(body) > 0 && body[0] != '<' {
		return connectors.Quote(string(body))
	}
	return ""
}

// explain turns the statuses and texts of the document into words that say what
// to do.
func explain(c connectors.Call, status int, body []byte) *hub.Error {
	text := wordsOf(body)
	switch status {
	case http.StatusBadRequest:
		return meaning(text)
	case http.StatusUnauthorized:
		return hub.E(hub.Unauthorized, "the API key of Cloud Optix has expired or is not valid; generate a new one in its console and put it into api_key"+theirs(text))
	case http.StatusForbidden:
		return hub.E(hub.Forbidden, "the API key may not do this, or Cloud Optix does not offer it to this customer"+theirs(text))
	case http.StatusNotFound:
		return hub.E(hub.NotFound, "Cloud Optix has nothing at "+c.Path+"; if it should be there, check base_url")
	}
	return nil
}

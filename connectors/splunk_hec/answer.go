package splunkhec

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/connectors"
)

// An answer is what Splunk says. The texts and codes are those that Splunk
// documents for its collector; senders compare them.
type answer struct {
	Text  string  `json:"text"`
	Code  int     `json:"code"`
	Event *int    `json:"invalid-event-number,omitempty"`
	AckID *uint64 `json:"ackId,omitempty"`

	status     int
	retryAfter time.Duration
	acks       map[uint64]bool // of a query; then nothing else is said
}

var (
	success              = answer{Text: "Success", Code: 0, status: http.StatusOK}
	tokenRequired        = answer{Text: "Token is required", Code: 2, status: http.StatusUnauthorized}
	invalidAuthorization = answer{Text: "Invalid authorization", Code: 3, status: http.StatusUnauthorized}
	invalidToken         = answer{Text: "Invalid token", Code: 4, status: http.StatusForbidden}
	noData               = answer{Text: "No data", Code: 5, status: http.StatusBadRequest}
	invalidFormat        = answer{Text: "Invalid data format", Code: 6, status: http.StatusBadRequest}
	serverError          = answer{Text: "Internal server error", Code: 8, status: http.StatusInternalServerError}
	busy                 = answer{Text: "Server is busy", Code: 9, status: http.StatusServiceUnavailable, retryAfter: time.Second}
	channelMissing       = answer{Text: "Data channel is missing", Code: 10, status: http.StatusBadRequest}
	channelInvalid       = answer{Text: "Invalid data channel", Code: 11, status: http.StatusBadRequest}
	eventRequired        = answer{Text: "Event field is required", Code: 12, status: http.StatusBadRequest}
	eventBlank           = answer{Text: "Event field cannot be blank", Code: 13, status: http.StatusBadRequest}
	ackDisabled          = answer{Text: "ACK is disabled", Code: 14, status: http.StatusBadRequest}
	fieldsInvalid        = answer{Text: "Error in handling indexed fields", Code: 15, status: http.StatusBadRequest}
	queryToken           = answer{Text: "Query string authorization is not enabled", Code: 16, status: http.StatusBadRequest}
	healthy              = answer{Text: "HEC is healthy", Code: 17, status: http.StatusOK}
	unhealthy            = answer{Text: "HEC is unhealthy, queues are full", Code: 18, status: http.StatusServiceUnavailable, retryAfter: time.Second}
	tooLarge             = answer{Text: "Request entity too large", Code: 27, status: http.StatusRequestEntityTooLarge}
	notFound             = answer{Text: "The requested URL was not found on this server.", Code: 404, status: http.StatusNotFound}
	wrongMethod          = answer{Text: "Method Not Allowed", Code: 405, status: http.StatusMethodNotAllowed}
)

func (a answer) response() connectors.Response {
	r := connectors.Response{Status: a.status, Type: "application/json; charset=UTF-8", RetryAfter: a.retryAfter}
	var what any = a
	if a.acks != nil {
		acks := make(map[string]bool, len(a.acks))
		for id, yes := range a.acks {
			acks[strconv.FormatUint(id, 10)] = yes
		}
		what = map[string]any{"acks": acks}
	}
	body, err := json.Marshal(what, json.Deterministic(true))
	if err != nil {
		panic("splunkhec: encode an answer: " + err.Error()) // numbers and texts of our own
	}
	r.Body = body
	return r
}

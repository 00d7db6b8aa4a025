package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/connectors"
	"github.com/tocsin/tocsin/hub"
)

const (
	callTimeout = time.Minute
	maxAnswer   = 64 << 20 // bytes
)

// A client speaks to one cluster.
type client struct {
	transport *elasticsearch.BaseClient
	scrub     func(string) string
}

// newClient makes the transport. Its own retries are off: the loop waits.
func newClient(cfg *config, c *http.Client) (*client, error) {
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	base, err := elasticsearch.NewBaseClient(elasticsearch.Config{
		Addresses: cfg.URLs, APIKey: cfg.APIKey.Reveal(), Username: cfg.Username, Password: cfg.Password.Reveal(),
		Transport: transport, DisableRetry: true,
	})
	return &client{base, func(text string) string { return cfg.Password.Scrub(cfg.APIKey.Scrub(text)) }}, err
}

// call makes one call. Its errors are of type [*hub.Error].
func (c *client) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return hub.Wrap(hub.Internal, err, "a request to Elasticsearch could not be made")
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, path+"?"+query.Encode(), bytes.NewReader(sent))
	if err != nil {
		return hub.Wrap(hub.Internal, err, "a request to Elasticsearch could not be made")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := c.transport.Perform(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.unreachable(err)
	case len(answer) > maxAnswer:
		return hub.E(hub.TooLarge, "Elasticsearch sent an answer above 64 MiB; lower page_size")
	case res.StatusCode/100 != 2:
		return c.refused(res, answer)
	}
	if err := json.Unmarshal(answer, into, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return hub.Wrap(hub.Transient, err, "Elasticsearch sent an answer that cannot be read")
	}
	return nil
}

// unreachable is for calls that got no whole answer.
func (c *client) unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var named *hub.Error // the safe client refuses addresses with one of these
	if errors.As(err, &named) {
		return err
	}
	if strings.Contains(err.Error(), "not Elasticsearch") {
		return hub.Wrap(hub.Invalid, errors.New(c.scrub(err.Error())), "what answers at urls is not Elasticsearch")
	}
	return hub.Wrap(hub.Transient, errors.New(c.scrub(err.Error())), "Elasticsearch could not be reached or broke off its answer")
}

// refused turns a status into an error that says what helps.
func (c *client) refused(res *http.Response, body []byte) error {
	kind, reason := c.cause(body)
	e := &hub.Error{Err: fmt.Errorf("status %d: %s: %s", res.StatusCode, kind, reason), RetryAfter: retryAfter(res.Header)}
	switch status := res.StatusCode; {
	case status == http.StatusUnauthorized:
		e.Kind, e.Msg = hub.Unauthorized, "Elasticsearch does not accept the credential; put a valid one into the connector's settings"
	case status == http.StatusForbidden:
		e.Kind, e.Msg = hub.Forbidden, "the credential may not do this in Elasticsearch; give it the privilege read on the index"
	case status == http.StatusNotFound && kind == "search_context_missing_exception":
		e.Kind, e.Msg = hub.Transient, "Elasticsearch lost the point in time; the connector tries again by itself"
	case status == http.StatusNotFound:
		e.Kind, e.Msg = hub.NotFound, "Elasticsearch does not know the index; check index and urls"
	case status == http.StatusTooManyRequests:
		e.Kind, e.Msg = hub.RateLimited, "Elasticsearch has no room for another search; the connector goes on by itself"
	case status >= 500 || status == http.StatusRequestTimeout:
		e.Kind, e.Msg = hub.Transient, fmt.Sprintf("Elasticsearch answered %d; the connector tries again by itself", status)
	default:
		e.Kind, e.Msg = hub.Invalid, fmt.Sprintf("Elasticsearch refused the request with %d: %s", status, connectors.Quote(c.scrub(reason)))
	}
	return e
}

// cause gives the innermost type and reason of a refusal.
func (c *client) cause(body []byte) (kind, reason string) {
	var answer struct {
		Error struct {
			Type   string `json:"type"`
			Reason string `json:"reason"`
			Root   []struct {
				Type   string `json:"type"`
				Reason string `json:"reason"`
			} `json:"root_cause"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", connectors.Quote(c.scrub(string(body)))
	}
	e := answer.Error
	if len(e.Root) > 0 {
		return e.Root[0].Type, c.scrub(e.Root[0].Reason)
	}
	return e.Type, c.scrub(e.Reason)
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}

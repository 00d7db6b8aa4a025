package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/internal/ops"
)

// hubFlags say which hub a command speaks to.
type hubFlags struct {
	URL string `env:"TOCSIN_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the hub."`
	Key string `env:"TOCSIN_API_KEY" placeholder:"KEY" help:"API key; for a hub on this machine the one in ./tocsin-data/initial-credentials if not given."`
}

// apiFlags are what every command over the API takes.
type apiFlags struct {
	hubFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// client makes a client of the hub.
func (h *hubFlags) client(*program) (*ops.Client, error) {
	key := h.Key
	if key == "" && onThisMachine(h.URL) {
		key = initialKey(dataFolder())
	}
	client, err := ops.NewClient(h.URL, key, programVersion(), nil)
	if err != nil {
		return nil, &ops.UsageError{Msg: err.Error()}
	}
	return client, nil
}

// dataFolder is where a hub that was told nothing keeps its data.
func dataFolder() string { return or(os.Getenv("TOCSIN_STORE_DIR"), "tocsin-data") }

// initialKey gives the API key that the first start left in the data folder, or
// "". Whatever is wrong with the file, the hub will ask for a key.
func initialKey(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, "initial-credentials"))
	if err != nil {
		return ""
	}
	var c struct {
		APIKey string `json:"api_key"`
	}
	if json.Unmarshal(text, &c) != nil {
		return ""
	}
	return c.APIKey
}

// onThisMachine reports whether the address is a loopback one: the key of the
// hub here must not be shown to any other.
func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// ask makes one call with a JSON body, nil for none.
func (a *apiFlags) ask(ctx context.Context, p *program, method, path string, body any) (jsontext.Value, error) {
	client, err := a.client(p)
	if err != nil {
		return nil, err
	}
	call := ops.Call{Method: method, Path: path}
	if body != nil {
		if call.Body, err = json.Marshal(body, json.Deterministic(true)); err != nil {
			return nil, err
		}
	}
	answer, err := client.Do(ctx, call)
	return answer.Body, err
}

// each makes one call for each id and shows each answer: as it came with
// --json, a line each, else by show. It goes on after a failure and tells of it.
func (a *apiFlags) each(ctx context.Context, p *program, ids []string, method, path string, body any, show func(jsontext.Value) error) error {
	failed := 0
	for _, id := range ids {
		answer, err := a.ask(ctx, p, method, fmt.Sprintf(path, url.PathEscape(id)), body)
		switch {
		case err != nil && len(ids) == 1:
			return err
		case err != nil:
			fmt.Fprintf(p.stderr, "tocsin: %s: %v\n", id, err)
			failed++
		case a.JSON && len(answer) > 0:
			err = p.raw(answer)
		case show != nil && !a.JSON:
			err = show(answer)
		}
		if err != nil && failed == 0 {
			return err
		}
	}
	if failed > 0 {
		return exit(exitFailure)
	}
	return nil
}

// pageFlags bound a list.
type pageFlags struct {
	Limit int  `default:"50" help:"Rows at most."`
	All   bool `help:"All rows, however many."`
}

// maxPage is how many rows the API gives at once.
const maxPage = 200

// morePatience is how long the next part of a list is waited for, when the hub
// says that these are too many requests.
const morePatience = 2 * time.Minute

// A page is one part of a list.
type page struct {
	Data       []jsontext.Value `json:"data"`
	NextCursor *string          `json:"next_cursor"`
	HasMore    bool             `json:"has_more"`
}

// pages calls yield with each part of a list until it has given as many rows as
// are wanted, or there are no more.
func (a *apiFlags) pages(ctx context.Context, p *program, path string, query url.Values, most pageFlags, yield func(page) error) error {
	if most.Limit < 1 {
		return &ops.UsageError{Msg: "--limit must be at least 1"}
	}
	client, err := a.client(p)
	if err != nil {
		return err
	}
	for left := most.Limit; ; {
		n := maxPage
		if !most.All {
			n = min(left, maxPage)
		}
		query.Set("limit", strconv.Itoa(n))
		answer, err := client.Do(ctx, ops.Call{Method: http.MethodGet, Path: path, Query: query})
		if err != nil {
			return err
		}
		var part page
		if err := json.Unmarshal(answer.Body, &part); err != nil {
			return fmt.Errorf("the answer is no list (%w); look whether --url names a hub", err)
		}
		if err := yield(part); err != nil {
			return err
		}
		left -= len(part.Data)
		if part.NextCursor == nil || !most.All && left <= 0 {
			return nil
		}
		query.Set("after", *part.NextCursor)
		client.Patience = morePatience
	}
}

// list prints a list: as the API gives it with --json, else as a table.
func list[T any](ctx context.Context, p *program, a *apiFlags, path string, query url.Values, most pageFlags, header []string, row func(*T) []string) error {
	if a.JSON {
		return listJSON(ctx, p, a, path, query, most)
	}
	t, rows, more := newTable(p.stdout, header...), 0, false
	err := a.pages(ctx, p, path, query, most, func(part page) error {
		for _, raw := range part.Data {
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				return fmt.Errorf("a row of the answer cannot be read (%w); use --json, or the program of the hub's version", err)
			}
			t.row(row(&v)...)
			rows++
		}
		more = part.HasMore
		return t.flush()
	})
	if err == nil && more && !most.All {
		fmt.Fprintf(p.stderr, "%d shown; there are more: use --all or a greater --limit\n", rows)
	}
	return err
}

func listJSON(ctx context.Context, p *program, a *apiFlags, path string, query url.Values, most pageFlags) error {
	n, last := 0, page{}
	err := a.pages(ctx, p, path, query, most, func(part page) error {
		if last = part; n == 0 {
			fmt.Fprint(p.stdout, `{"data":[`)
		}
		for _, raw := range part.Data {
			if n++; n > 1 {
				fmt.Fprint(p.stdout, ",")
			}
			fmt.Fprintf(p.stdout, "\n%s", raw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n == 0 {
		fmt.Fprint(p.stdout, `{"data":[`)
	}
	cursor, err := json.Marshal(last.NextCursor)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "\n],\"next_cursor\":%s,\"has_more\":%t}\n", cursor, last.HasMore)
	return err
}

// filters makes a query of the flags that were given.
func filters(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// when reads a time: as it is, or a duration back from now such as 24h.
func when(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d).UTC().Format(time.RFC3339)
	}
	return text
}

// commas puts repeated flags together as the API takes them.
func commas(all []string) string { return strings.Join(all, ",") }

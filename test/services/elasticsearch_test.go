package services

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// call makes a request of a node as the user elastic and gives the status and
// the answer.
func call(t *testing.T, method, url, password, body string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if password != "" {
		req.SetBasicAuth(ElasticUser, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func mustCall(t *testing.T, method, url, body string, status int, want string) {
	t.Helper()
	got, text, err := call(t, method, url, "", body)
	if err != nil || got != status || !strings.Contains(text, want) {
		t.Errorf("%s %s answers %d %q, error %v; want %d and %s", method, url, got, text, err, status, want)
	}
}

// What the node acknowledged survives a kill and a pause, at the same address.
func TestElasticsearchKeepsItsData(t *testing.T) {
	needsTime(t)
	t.Parallel()
	e := Elasticsearch(t, ElasticsearchOptions{})
	mustCall(t, "PUT", e.URL()+"/letters/_doc/1", `{"letter":"a"}`, 201, "created")
	e.Kill(t)
	if status, text, err := call(t, "GET", e.URL(), "", ""); err == nil {
		t.Errorf("a killed node answers %d %s", status, text)
	}
	e.Start(t)
	mustCall(t, "GET", e.URL()+"/letters/_source/1", "", 200, `{"letter":"a"}`)
	e.Pause(t)
	answered := make(chan string, 1)
	go func() {
		_, text, _ := call(t, "GET", e.URL()+"/letters/_source/1", "", "")
		answered <- text
	}()
	select {
	case text := <-answered:
		t.Errorf("a paused node answers %q", text)
	case <-time.After(200 * time.Millisecond):
	}
	e.Resume(t)
	if text := <-answered; text != `{"letter":"a"}` {
		t.Errorf("after the pause it answers %q", text)
	}
	e.Stop(t)
	if e.child.alive() {
		t.Error("it is alive after Stop")
	}
}

func TestElasticsearchWantsThePassword(t *testing.T) {
	needsTime(t)
	t.Parallel()
	const password = "Schlüssel 0"
	e := Elasticsearch(t, ElasticsearchOptions{Password: password})
	for _, c := range []struct {
		password string
		want     int
	}{{password, 200}, {"Schlüssel 1", 401}, {"", 401}} {
		status, text, err := call(t, "GET", e.URL()+"/_cluster/health", c.password, "")
		if err != nil || status != c.want {
			t.Errorf("with password %q: %d %s %v, want %d", c.password, status, text, err, c.want)
		}
	}
}

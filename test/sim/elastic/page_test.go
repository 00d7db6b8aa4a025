package elastic

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A point in time keeps what it shows while documents change, and pages go on
// where the last ended.
func TestPages(t *testing.T) {
	s := New(Options{Kind: true})
	for i := range 7 {
		s.Put("logs-a", fmt.Sprint("d", i), map[string]any{"at": fmt.Sprintf("2026-01-0%dT00:00:00Z", 1+i/3), "k": "x"})
	}
	ask := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		b, _ := io.ReadAll(w.Body)
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return w.Code, v
	}
	if code, _ := ask("POST", "/none/_pit?keep_alive=1m", ""); code != http.StatusNotFound {
		t.Errorf("a point on no index: %d", code)
	}
	_, opened := ask("POST", "/logs-*/_pit?keep_alive=1m", "")
	s.Put("logs-a", "later", map[string]any{"at": "2026-01-01T00:00:00Z", "k": "x"})
	var got []string
	after := ""
	for range 4 {
		_, v := ask("POST", "/_search", fmt.Sprintf(`{"size":3,"query":{"bool":{"filter":[{"range":{"at":{"gte":"2026-01-01T00:00:00.000Z"}}},{"term":{"k":"x"}}]}},"pit":{"id":%q,"keep_alive":"1m"},"sort":[{"at":{"order":"asc"}},{"_shard_doc":"asc"}]%s}`, opened["id"], after))
		hits, _ := v["hits"].(map[string]any)["hits"].([]any)
		for _, h := range hits {
			got = append(got, h.(map[string]any)["_id"].(string))
			sort, _ := json.Marshal(h.(map[string]any)["sort"])
			after = `,"search_after":` + string(sort)
		}
	}
	if strings.Join(got, " ") != "d0 d1 d2 d3 d4 d5 d6" {
		t.Errorf("pages give %v", got)
	}
	if s.OpenPoints() != 1 {
		t.Errorf("%d points are open", s.OpenPoints())
	}
	ask("DELETE", "/_pit", fmt.Sprintf(`{"id":%q}`, opened["id"]))
	if code, v := ask("POST", "/_search", fmt.Sprintf(`{"pit":{"id":%q}}`, opened["id"])); code != 404 || !strings.Contains(fmt.Sprint(v), "search_context_missing") {
		t.Errorf("a closed point: %d %v", code, v)
	}
}

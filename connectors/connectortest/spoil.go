package connectortest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"
)

// spoils puts an entry that cannot be used into each list of the far side: those
// around it arrive, and it is kept once, with its place and the reason.
func spoils(t *testing.T, c Case) {
	if len(c.Lists) == 0 {
		t.Skip("the case names no lists")
	}
	b := newBench(t, c, 1, func(next http.Handler) http.Handler { return spoiler{next, c.Lists} })
	b.far.Kind(true)
	b.far.Add(60)
	b.start()
	b.settle(24 * time.Hour)
	time.Sleep(10 * time.Minute) // some pulls more
	if late := b.store.difference(b.far.State(), c.Seen); late != "" {
		t.Error(late)
	}
	kept := b.store.Rejects()
	if len(kept) == 0 {
		t.Error("what cannot be used was not kept")
	}
	once := map[string]bool{}
	for _, r := range kept {
		if r.Index != 1 || r.Error == "" || !bytes.Contains(r.Item, []byte(unusable)) {
			t.Errorf("kept %d, %q: %s; want the entry at 1, with a reason", r.Index, r.Error, r.Item)
		}
		if key := r.Error + string(r.Item); once[key] {
			t.Errorf("kept twice: %q", r.Error)
		} else {
			once[key] = true
		}
	}
	t.Logf("kept: %q", slices.Sorted(maps.Keys(once)))
	if n := b.loop.State().Counts.Rejected; n != int64(len(kept)) {
		t.Errorf("%d are counted, %d were kept", n, len(kept))
	}
}

const unusable = "unusable on purpose"

// A spoiler is a far side with an unusable entry at 1 in each list that it names.
type spoiler struct {
	next  http.Handler
	lists []string
}

func (s spoiler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	s.next.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if r.Method == http.MethodGet && answer.Code == http.StatusOK && d.Decode(&v) == nil {
		if again, err := json.Marshal(s.spoil("", v)); err == nil {
			body = again
		}
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

// spoil gives a value with its lists spoilt. An empty list stays so.
func (s spoiler) spoil(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for member, x := range v {
			v[member] = s.spoil(member, x)
		}
	case []any:
		if len(v) > 0 && slices.Contains(s.lists, name) {
			return slices.Insert(v, 1, any(map[string]any{"note": unusable}))
		}
	}
	return v
}

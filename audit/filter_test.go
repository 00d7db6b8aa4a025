package audit

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
)

func TestFilter(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	e := hub.AuditEntry{
		ID: "aud_1", Timestamp: at, UserID: "usr_1", UserEmail: "Anna@example.org", Action: "alert.create", ResourceType: "alert", ResourceID: "alt_1",
		IPAddress: "192.0.2.1", Details: jsontext.Value(`{"reason":"Merged"}`),
	}
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"nothing", Filter{}, true},
		{"all", Filter{UserID: "usr_1", Action: "alert.create", ResourceType: "alert", ResourceID: "alt_1", IP: "192.0.2.1", Start: at, End: at.Add(1), Query: "anna MERGED"}, true},
		{"user", Filter{UserID: "usr_2"}, false},
		{"action", Filter{Action: "alert"}, false},
		{"type", Filter{ResourceType: "alerts"}, false},
		{"resource", Filter{ResourceID: "alt_2"}, false},
		{"address", Filter{IP: "192.0.2.10"}, false},
		{"too early", Filter{Start: at.Add(1)}, false},
		{"too late", Filter{End: at}, false},
		{"one word of two", Filter{Query: "anna deleted"}, false},
		{"blanks", Filter{Query: "  "}, true},
	} {
		if got := c.f.Match(&e); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	var s Stats
	s.Add(&e)
	s.Add(&e)
	s.Add(&hub.AuditEntry{Action: "auth.login", ResourceType: "user"})
	want := Stats{Total: 3, Actions: map[string]int64{"alert.create": 2, "auth.login": 1}, Resources: map[string]int64{"alert": 2, "user": 1}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

package email

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// How bursts go together where the endpoint asks for no digest: nobody reads a
// mail a second, and servers that get more close their doors.
const (
	apart = 2 * time.Second
	burst = 5
	rest  = time.Minute
	most  = 200 // deliveries in one mail
)

// pace is the time between two mails, two seconds unless the endpoint's rate limit
// says another.
func pace(e *hub.Endpoint) time.Duration {
	if e.RateLimit > 0 {
		return time.Second / time.Duration(e.RateLimit)
	}
	return apart
}

var _ relay.Gatherer = (*Target)(nil)

// Gather says that mails are apart and those about one alert in order, that
// bursts become one mail, and that all that comes within the period of a digest
// does. What a playbook says is a mail of its own.
func (t *Target) Gather(e *hub.Endpoint) relay.Gathering {
	if d := Digest(e); d > 0 {
		return relay.Gathering{Hold: d, From: 2, Most: most, StepsApart: true}
	}
	return relay.Gathering{Every: pace(e), From: burst, Most: most, Rest: rest / apart * pace(e), InOrder: true, StepsApart: true}
}

// SendAll sends one mail about all.
func (t *Target) SendAll(ctx context.Context, e *hub.Endpoint, all []*hub.Delivery) (hub.Attempt, error) {
	s, err := settingsOf(e)
	if err != nil {
		return hub.Attempt{}, err
	}
	items := make([]item, len(all))
	made := 0
	for i, d := range all {
		if items[i], err = read(d); err != nil {
			return hub.Attempt{}, hub.Wrap(hub.Malformed, err, "one of the deliveries cannot be read")
		}
		made = max(made, d.Attempts)
	}
	m, err := t.digest(e, s, items)
	if err != nil {
		return hub.Attempt{}, err
	}
	a, err := t.transmit(ctx, s, m, made)
	var refused *hub.Error
	if errors.As(err, &refused) && refused.Kind == hub.Invalid && a.Status >= 500 && strings.Contains(refused.Msg, refusesMessage) {
		kind := hub.Malformed // what one of them says may be the reason
		if a.Status == 552 {
			kind = hub.TooLarge
		}
		err = &hub.Error{Kind: kind, Msg: refused.Msg, Err: refused.Err}
	}
	return a, err
}

// digest makes the mail about several deliveries: a row for each object, the
// worst first.
func (t *Target) digest(e *hub.Endpoint, s *settings, items []item) (*mailing, error) {
	rows, ids := t.rows(items), sha256.New()
	for _, it := range items {
		ids.Write([]byte(it.d.ID + "\n"))
	}
	what := objects(items, len(rows))
	worst := items[0].ev
	for _, it := range items {
		if rank(it.ev) > rank(worst) {
			worst = it.ev
		}
	}
	l := letter{Color: color(worst), Title: what, Lead: severities(items), Rows: rows, Foot: digestFoot(e, items)}
	if len(rows) > maxDigests {
		l.Rows, l.Text = rows[:maxDigests], fmt.Sprintf("%d more are not shown.", len(rows)-maxDigests)
	}
	subject := "[Tocsin] " + what
	if a := worst.Data.Alert; a != nil {
		subject = fmt.Sprintf("[%s] %s: %s", strings.ToUpper(string(a.Severity)), what, heading(worst))
	}
	return t.mail(s, e, &l, header(subject), "digest-"+hex.EncodeToString(ids.Sum(nil)[:12]), "", nil)
}

func rank(ev *hub.Event) int {
	if ev.Data.Alert == nil {
		return 0
	}
	return ev.Data.Alert.Severity.Rank()
}

// rows gives a row for each object that the events are about, as it is now.
func (t *Target) rows(items []item) []row {
	type object struct {
		newest item
		what   []string
	}
	bySubject, order := map[string]*object{}, []*object(nil)
	for _, it := range items {
		o := bySubject[it.ev.Subject]
		if o == nil {
			o = &object{newest: it}
			bySubject[it.ev.Subject] = o
			order = append(order, o)
		}
		if it.ev.Sequence >= o.newest.ev.Sequence {
			o.newest = it
		}
		if what := happened(it.ev); !slices.Contains(o.what, what) {
			o.what = append(o.what, what)
		}
	}
	slices.SortStableFunc(order, func(a, b *object) int { return cmp.Compare(rank(b.newest.ev), rank(a.newest.ev)) })
	rows := make([]row, len(order))
	for i, o := range order {
		ev := o.newest.ev
		rows[i] = row{
			Color: color(ev), Severity: "info", Title: line(heading(ev), maxTitle), What: line(strings.Join(o.what, ", "), maxField),
			When: date(ev.Time), Link: t.o.Link(ev.Subject),
		}
		if a := ev.Data.Alert; a != nil {
			rows[i].Severity = string(a.Severity)
			if a.AssetID != "" {
				rows[i].What += " · " + line(a.AssetID, 200)
			}
		}
	}
	return rows
}

func happened(ev *hub.Event) string {
	if what, ok := strings.CutPrefix(string(ev.Type), "alert."); ok {
		return what
	}
	return string(ev.Type)
}

func objects(items []item, n int) string {
	what := "alert"
	for _, it := range items {
		if it.ev.Data.Alert == nil {
			what = "notice"
		}
	}
	if n == 1 {
		return fmt.Sprintf("%d changes of 1 %s", len(items), what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// severities counts the alerts by severity, each once.
func severities(items []item) string {
	newest := map[string]hub.Severity{}
	for _, it := range items {
		if a := it.ev.Data.Alert; a != nil {
			newest[it.ev.Subject] = a.Severity
		}
	}
	counts := map[hub.Severity]int{}
	for _, s := range newest {
		counts[s]++
	}
	var parts []string
	for _, s := range hub.Severities {
		if counts[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

func digestFoot(e *hub.Endpoint, items []item) string {
	foot := fmt.Sprintf("%d events, %s to %s", len(items), date(items[0].ev.Time), date(items[len(items)-1].ev.Time))
	if d := Digest(e); d > 0 {
		foot += " · one mail each " + d.String()
	}
	for _, it := range items {
		if note := relay.NoteOf(it.d); strings.Contains(note, "held back") {
			foot += " · " + note
		}
	}
	return line(foot, 4*maxField)
}

package slack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	api "github.com/slack-go/slack"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/relay"
)

// listed is how many alerts a summary names; the others it counts.
const listed = 15

// SendAll sums deliveries up in one message, which says how many alerts of which
// severity there are. It stands for those that have no card of their own.
func (t *Target) SendAll(ctx context.Context, e *hub.Endpoint, all []*hub.Delivery) (hub.Attempt, error) {
	s := &summary{link: t.o.Link}
	for _, d := range all {
		ev, err := relay.EventOf(d)
		if err != nil {
			return hub.Attempt{}, hub.Wrap(hub.Malformed, err, "an event cannot be read")
		}
		s.items = append(s.items, item{d, ev})
	}
	if e.Secrets.Tokens[Token] == "" {
		return t.webhook(ctx, e, s.message())
	}
	k, err := t.talk(e)
	if err != nil {
		return hub.Attempt{}, err
	}
	err = k.sum(ctx, s)
	return k.attempt(), err
}

// sum posts a summary of what has not been posted before.
func (k *talk) sum(ctx context.Context, s *summary) error {
	var ids []hub.AlertID
	var doubtful []*hub.Delivery
	for _, i := range s.items {
		if i.ev.Data.Alert != nil {
			ids = append(ids, i.ev.Data.Alert.ID)
		}
		if unsure(i.d) {
			doubtful = append(doubtful, i.d)
		}
	}
	known, err := k.o.Postings(ctx, k.e, ids)
	if err != nil {
		return err
	}
	found := map[hub.DeliveryID]string{}
	if len(doubtful) > 0 {
		if found, err = k.find(ctx, doubtful, ""); err != nil {
			return err
		}
	}
	fresh := &summary{link: s.link}
	for _, i := range s.items {
		if found[i.d.ID] == "" {
			fresh.items = append(fresh.items, i)
		}
	}
	if len(fresh.items) > 0 {
		m := fresh.message()
		m.metadata = k.marks(fresh.deliveries())
		if err := k.post(ctx, m); err != nil {
			return err
		}
	}
	for _, i := range s.items {
		k.note(i, cmp.Or(found[i.d.ID], k.ts), known)
	}
	return nil
}

// note says which message stands for an alert of a summary: its own card, if it
// has one, which then lags behind; else the summary.
func (k *talk) note(i item, ts string, known []hub.Posting) {
	a := i.ev.Data.Alert
	if a == nil {
		return
	}
	for _, p := range known {
		if p.Alert == a.ID && p.Generation == a.Generation && p.Asked == k.channel && !p.Summary {
			p.Wanted, p.For = max(p.Wanted, a.Version), i.d.ID
			k.posted = append(k.posted, p)
			return
		}
	}
	k.posted = append(k.posted, hub.Posting{
		Tenant: k.e.Tenant, Endpoint: k.e.ID, Alert: a.ID, Generation: a.Generation, Asked: k.channel, Place: k.place, Message: ts, Summary: true,
		Version: a.Version, Wanted: a.Version, Delivery: i.d.ID, At: hub.Truncate(k.o.Now()), For: i.d.ID,
	})
}

// A summary is of several deliveries.
type summary struct {
	items []item
	link  func(subject string) string
}

type item struct {
	d  *hub.Delivery
	ev *hub.Event
}

func (s *summary) deliveries() (all []*hub.Delivery) {
	for _, i := range s.items {
		all = append(all, i.d)
	}
	return all
}

// alerts gives the alerts as they are last, the worst first, and the other
// events.
func (s *summary) alerts() (alerts, others []*hub.Event) {
	last := map[hub.AlertID]*hub.Event{}
	for _, i := range s.items {
		a := i.ev.Data.Alert
		if a == nil {
			others = append(others, i.ev)
			continue
		}
		if l := last[a.ID]; l == nil || l.Data.Alert.Version <= a.Version {
			last[a.ID] = i.ev
		}
	}
	for _, ev := range last {
		alerts = append(alerts, ev)
	}
	slices.SortFunc(alerts, func(x, y *hub.Event) int {
		return cmp.Or(cmp.Compare(y.Data.Alert.Severity.Rank(), x.Data.Alert.Severity.Rank()), cmp.Compare(x.Sequence, y.Sequence), cmp.Compare(x.Data.Alert.ID, y.Data.Alert.ID))
	})
	return alerts, others
}

// message gives the summary. Where it gets too long, it names fewer alerts.
func (s *summary) message() *message {
	m := s.messageOf(listed)
	for n := listed; n > 0 && m.size() > maxTotal; n /= 2 {
		m = s.messageOf(n / 2)
	}
	return m
}

func (s *summary) messageOf(names int) *message {
	alerts, others := s.alerts()
	head := s.head(alerts, others)
	c := card{room: maxSection}
	c.blocks = append(c.blocks, api.NewHeaderBlock(plain(line(head, maxHeader))))
	c.section(s.happened())
	c.section(s.list(alerts, names))
	c.section(othersList(others))
	first, last := s.span()
	c.blocks = append(c.blocks, api.NewContextBlock("", mrkdwn("summed up because they came at once · "+first+" – "+last)))
	m := &message{text: head, blocks: c.blocks[:1], side: c.blocks[1:], color: colors[hub.Info]}
	if len(alerts) > 0 {
		m.color = colors[alerts[0].Data.Alert.Severity]
	}
	return m
}

// head says how many alerts of which severity there are.
func (s *summary) head(alerts, others []*hub.Event) string {
	counts := map[hub.Severity]int{}
	for _, ev := range alerts {
		counts[ev.Data.Alert.Severity]++
	}
	var parts []string
	for _, sev := range hub.Severities {
		if n := counts[sev]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, sev))
		}
	}
	var heads []string
	if len(alerts) > 0 {
		heads = append(heads, count(len(alerts), "alert")+": "+strings.Join(parts, ", "))
	}
	if len(others) > 0 {
		heads = append(heads, count(len(others), "other event"))
	}
	return strings.Join(heads, " · ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// happened says how many of which event there are.
func (s *summary) happened() string {
	counts := map[hub.EventType]int{}
	for _, i := range s.items {
		counts[i.ev.Type]++
	}
	var parts []string
	for _, typ := range hub.EventTypes {
		if n := counts[typ]; n > 0 {
			what := string(typ)
			if short, ok := strings.CutPrefix(what, "alert."); ok {
				what = short
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	return strings.Join(parts, " · ")
}

func (s *summary) list(alerts []*hub.Event, names int) string {
	var lines []string
	for _, ev := range alerts[:min(names, len(alerts))] {
		a := ev.Data.Alert
		name := line(nameOf(a), 100)
		if link := s.link(string(a.ID)); linkable(link, maxSection/listed/2) {
			name = "<" + link + "|" + name + ">"
		}
		lines = append(lines, "• *"+strings.ToUpper(string(a.Severity))+"* "+name+state(a))
	}
	if more := len(alerts) - names; more > 0 && len(alerts) > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	text := strings.Join(lines, "\n")
	for width(text) > maxSection { // links may be long
		lines = append(lines[:len(lines)-2], lines[len(lines)-1])
		text = strings.Join(lines, "\n")
	}
	return text
}

func state(a *hub.Alert) string {
	if a.Status == hub.AlertOpen {
		return ""
	}
	return " · " + stateWord(a)
}

func othersList(others []*hub.Event) string {
	var lines []string
	for _, ev := range others[:min(len(others), 10)] {
		lines = append(lines, "• "+line(string(ev.Type)+" "+ev.Subject+" "+ev.Data.Reason, 200))
	}
	if more := len(others) - 10; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// span is from the first to the last event.
func (s *summary) span() (first, last string) {
	at, end := s.items[0].ev.Time, s.items[0].ev.Time
	for _, i := range s.items {
		if i.ev.Time.Before(at) {
			at = i.ev.Time
		}
		if i.ev.Time.After(end) {
			end = i.ev.Time
		}
	}
	return at.UTC().Format("15:04:05"), end.UTC().Format("15:04:05 UTC")
}

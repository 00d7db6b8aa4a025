// Package email sends mail by SMTP, with messages made by go-mail. It is the only
// package that imports it.
//
// One delivery is one mail to all recipients of its endpoint: text and HTML, with
// the delivery's id as Message-ID, so that a mail that is sent again after a
// crash is the same one. All mails about one generation of an alert refer to the
// same message, [Root], and so are one thread. Where the endpoint asks for a
// digest, or many mails wait, one mail tells of all of them.
//
// Connections go through safehttp, and are encrypted before anything is said
// that matters, unless the endpoint says tls: none. What the server refuses of
// the message for good (5xx) ends the delivery; everything else is tried again.
package email

import (
	"context"
	"crypto/tls"
	"html/template"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
	"github.com/tocsin/tocsin/relay"
)

// Options of a Target.
type Options struct {
	Client *safehttp.Client
	// Link gives the address where people see an object, "" if there is none.
	// It may be nil.
	Link func(subject string) string
	// Template gives the text of the endpoint's own template with a name (subject,
	// title or body) for an event, "" if there is none. It may be nil.
	Template func(e *hub.Endpoint, name string, d *hub.Delivery, ev *hub.Event) string
	// Hello is what the hub calls itself to servers; "" for its address.
	Hello string
	TLS   *tls.Config // such as further authorities; the system's if nil
	Now   func() time.Time
}

// A Target sends mail.
type Target struct {
	o    Options
	page *template.Template
}

// New makes the target.
func New(o Options) *Target {
	if o.Link == nil {
		o.Link = func(string) string { return "" }
	}
	if o.Template == nil {
		o.Template = func(*hub.Endpoint, string, *hub.Delivery, *hub.Event) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Target{o, template.Must(template.New("mail").Parse(htmlText))}
}

var _ relay.Target = (*Target)(nil)

// params are what a playbook step or an alert rule gives.
type params struct {
	Message string `json:"message"`
	Subject string `json:"subject"`
}

// An item is one delivery with what it tells of.
type item struct {
	d  *hub.Delivery
	ev *hub.Event
	p  params
}

func read(d *hub.Delivery) (item, error) {
	it := item{d: d}
	var err error
	if it.ev, err = relay.EventOf(d); err != nil {
		return it, err
	}
	if len(d.Params) > 0 {
		if err := json.Unmarshal(d.Params, &it.p); err != nil {
			return it, hub.Wrap(hub.Internal, err, "the step's values cannot be read")
		}
	}
	return it, nil
}

// Send sends one mail.
func (t *Target) Send(ctx context.Context, e *hub.Endpoint, d *hub.Delivery) (hub.Attempt, error) {
	it, err := read(d)
	if err != nil {
		return hub.Attempt{}, err
	}
	s, err := settingsOf(e)
	if err != nil {
		return hub.Attempt{}, err
	}
	m, err := t.single(e, s, it)
	if err != nil {
		return hub.Attempt{}, err
	}
	return t.transmit(ctx, s, m, d.Attempts)
}

// Root names the message that all mails about one generation of an alert refer
// to. Without an alert it is the object that the event is about.
func Root(ev *hub.Event, e *hub.Endpoint, domain string) string {
	name := ev.Subject
	if a := ev.Data.Alert; a != nil {
		name = string(a.ID) + ".g" + itoa(a.Generation)
	}
	return atom(name) + "." + atom(string(e.ID)) + "@" + domain
}

// atom leaves of a name what a Message-ID may hold without quotes.
func atom(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '-'
	}, strings.ReplaceAll(name, ".", "_"))
}

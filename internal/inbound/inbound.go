// Package inbound is what connectors that are sent to have in common: who may
// send, which items a body holds, and ids and texts that suit a finding.
//
// [Auth] is the part of their settings that says how a sender proves who it is,
// and [Guard] checks it in constant time, before anything is parsed. [Each] goes
// through the items of a body without holding more than one of them decoded.
// [Key] makes a source id out of parts, [Tidy] keeps findings within the hub's
// limits.
package inbound

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// A Method says how a sender proves who it is.
type Method string

// Methods.
const (
	None        Method = "none"              // not at all: the network must keep others out
	Token       Method = "token"             // Authorization: Bearer <secret>, or the secret in another header
	Basic       Method = "basic"             // HTTP basic: username, and the secret as password
	HMAC        Method = "hmac"              // a signature in a header of its own
	Standard    Method = "standard_webhooks" // webhook-id, webhook-timestamp, webhook-signature
	GitHub      Method = "github"            // X-Hub-Signature-256
	Timestamped Method = "timestamped"       // t=…,v1=… as Stripe sends it
)

// DefaultTolerance is how far the time of a signature may be from ours.
const DefaultTolerance = 5 * time.Minute

// Auth is who may send to a connector. It is embedded inline in the settings of
// each kind that has no signature of its own, so that they all read the same.
//
// A signature that holds no time can be sent again by whoever has seen it, and
// one that does for as long as Tolerance; the hub's deduplication makes either
// harmless.
type Auth struct {
	// Method is required; none must be said.
	Method Method `yaml:"auth" enum:"none,token,basic,hmac,standard_webhooks,github,timestamped"`

	// Secret is the token, the password or the key; OldSecret, where it is
	// given, is taken as well, so that a secret can be changed without a gap.
	Secret    secret.Secret `yaml:"secret,omitempty"`
	OldSecret secret.Secret `yaml:"old_secret,omitempty"`

	Username string `yaml:"username,omitempty"` // of basic

	// Header carries the token (default: Authorization, as "Bearer <token>") or
	// the signature (required for hmac; Stripe-Signature for timestamped).
	Header string `yaml:"header,omitempty"`

	Signature Signature `yaml:"signature,omitempty"` // of hmac

	// Tolerance is how far the time in a signature may be from ours.
	Tolerance hub.Duration `yaml:"tolerance,omitempty"`

	// Scheme is the word before a token in Authorization, "Bearer" if empty. It
	// is for kinds whose senders use another, not for the config.
	Scheme string `yaml:"-"`
}

// A Signature describes an HMAC as some sender makes it.
type Signature struct {
	Algorithm string `yaml:"algorithm,omitempty" enum:"sha1,sha256,sha384,sha512"` // default sha256
	Encoding  string `yaml:"encoding,omitempty" enum:"hex,base64,base64url"`       // default hex
	Prefix    string `yaml:"prefix,omitempty"`                                     // before the signature, such as "sha256="

	// Content is what is signed: "{body}" by default, or with the content of
	// TimestampHeader something like "v0:{timestamp}:{body}".
	Content         string `yaml:"content,omitempty"`
	TimestampHeader string `yaml:"timestamp_header,omitempty"`
}

// A Header gives the first value of a header, "" if there is none, whatever the
// case of its name.
type Header interface{ Get(name string) string }

// A Guard checks requests. The zero Guard refuses all.
type Guard struct {
	check func(h Header, body []byte, now time.Time) error
}

// Check is nil for a request whose sender has proven who it is, otherwise an
// error of kind Unauthorized.
func (g *Guard) Check(h Header, body []byte) error {
	if g == nil || g.check == nil {
		return refuse("nobody may send here")
	}
	return g.check(h, body, time.Now())
}

func refuse(msg string) error { return hub.E(hub.Unauthorized, msg) }

// Open checks the settings and gives their guard. The error tells everything
// that is wrong.
func (a *Auth) Open() (*Guard, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if a.Method != None && a.Method != "" && a.Secret.IsZero() {
		fault("secret: is required with auth: %s", a.Method)
	}
	if a.Method == None && !a.Secret.IsZero() {
		fault("secret: is not looked at with auth: none; leave it out, or say how it is sent")
	}
	if a.Tolerance < 0 {
		fault("tolerance: must not be negative")
	}
	a.unused(fault)
	check, err := a.open()
	if faults = append(faults, err); errors.Join(faults...) != nil {
		return nil, errors.Join(faults...)
	}
	return &Guard{check}, nil
}

// unused tells of settings that the method does not look at: who writes them
// believes that they do something.
func (a *Auth) unused(fault func(string, ...any)) {
	for _, s := range []struct {
		name string
		set  bool
		of   []Method
	}{
		{"username", a.Username != "", []Method{Basic}},
		{"header", a.Header != "", []Method{Token, HMAC, Timestamped}},
		{"signature", a.Signature != Signature{}, []Method{HMAC}},
		{"tolerance", a.Tolerance != 0, []Method{HMAC, Timestamped}},
	} {
		used := !s.set
		var names []string
		for _, m := range s.of {
			used = used || m == a.Method
			names = append(names, string(m))
		}
		if !used {
			fault("%s: belongs to auth: %s only", s.name, strings.Join(names, " or "))
		}
	}
}

func (a *Auth) open() (func(Header, []byte, time.Time) error, error) {
	switch a.Method {
	case None:
		return func(Header, []byte, time.Time) error { return nil }, nil
	case Token:
		return a.token(), nil
	case Basic:
		return a.basic()
	case HMAC:
		return a.hmac()
	case GitHub:
		github := *a
		github.Header, github.Signature = "X-Hub-Signature-256", Signature{Prefix: "sha256="}
		return github.hmac()
	case Standard:
		return a.standard()
	case Timestamped:
		return a.timestamped(), nil
	case "":
		return nil, errors.New("auth: is required: token, basic, hmac, standard_webhooks, github, timestamped; or none, if nothing but the sender can reach the hub")
	}
	return nil, fmt.Errorf("auth: %q is none of none, token, basic, hmac, standard_webhooks, github, timestamped", a.Method)
}

func (a *Auth) tolerance() time.Duration {
	if a.Tolerance == 0 {
		return DefaultTolerance
	}
	return time.Duration(a.Tolerance)
}

// keys are the secrets that are taken.
func (a *Auth) keys() []secret.Secret {
	keys := []secret.Secret{a.Secret}
	if !a.OldSecret.IsZero() {
		keys = append(keys, a.OldSecret)
	}
	return keys
}

package configs

import (
	"encoding/base64"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/glob"
)

// A kindRule says which fields an endpoint of a kind takes, beside name, kind,
// description and enabled, which all take. What is in neither list is refused.
type kindRule struct {
	kind     string
	required []string
	optional []string
	// either lists pairs: exactly one of each is needed.
	either [][2]string
}

var kindRules = [...]kindRule{
	{
		kind:     hub.KindWebhook,
		required: []string{"url", "secret"},
		optional: []string{"events", "filter", "transform", "headers", "key_pair", "signing", "ordering", "rate_limit", "timeout", "retry"},
	},
	{
		kind:     hub.KindSlack,
		optional: []string{"events", "filter", "ordering", "rate_limit", "timeout", "retry", "channel", "api_url", "signing_secret", "templates"},
		either:   [][2]string{{"url", "bot_token"}},
	},
	{
		kind:     hub.KindPagerDuty,
		required: []string{"routing_key"},
		optional: []string{"events", "filter", "ordering", "rate_limit", "timeout", "retry", "api_url", "webhook_secrets", "templates"},
	},
	{
		kind:     hub.KindEmail,
		required: []string{"host", "from", "to"},
		optional: []string{"events", "filter", "ordering", "rate_limit", "timeout", "retry", "port", "tls", "username", "password", "digest", "templates"},
	},
	{
		kind:     hub.KindElastic,
		required: []string{"url"},
		optional: []string{"timeout", "namespace", "setup", "pipeline", "streams", "retention", "api_key", "username", "password"},
	},
}

// commonFields are taken by every kind.
var commonFields = [...]string{"name", "kind", "description", "enabled"}

// takes reports whether an endpoint of the kind may have the field.
func (r *kindRule) takes(field string) bool {
	return slices.Contains(commonFields[:], field) || slices.Contains(r.required, field) ||
		slices.Contains(r.optional, field) || slices.ContainsFunc(r.either, func(p [2]string) bool { return p[0] == field || p[1] == field })
}

func (l *loader) checkEndpoints(endpoints []Endpoint) {
	taken := map[string]string{}
	for i := range endpoints {
		e, path := &endpoints[i], index("endpoints", i)
		l.checkName(path, e.Name, taken)
		if e.Kind == "" {
			l.wrong(join(path, "kind"), "is missing; write webhook, slack, pagerduty, email or elasticsearch")
		}
		for j := range kindRules {
			if kindRules[j].kind == e.Kind {
				l.checkKind(path, e, &kindRules[j])
			}
		}
		l.checkEvents(join(path, "events"), e.Events)
		l.checkHeaders(join(path, "headers"), e)
		l.checkSigning(join(path, "signing"), e.Signing)
		l.checkRetry(join(path, "retry"), e.Retry)
		l.checkEmail(path, e)
		l.checkTemplates(join(path, "templates"), e)
	}
}

// given reports whether the field is there in the file, whatever it holds.
func (l *loader) given(path, field string) bool {
	_, there := l.places[join(path, field)]
	return there
}

// checkKind holds e to the rule of its kind.
func (l *loader) checkKind(path string, e *Endpoint, r *kindRule) {
	for _, f := range fieldsOf(endpointType) {
		if l.given(path, f.name) && !r.takes(f.name) {
			l.wrong(join(path, f.name), "an endpoint of kind "+r.kind+" does not take this; remove it")
		}
	}
	for _, f := range r.required {
		if e.empty(f) {
			l.wrong(join(path, f), "is missing; an endpoint of kind "+r.kind+" needs it"+hint(f))
		}
	}
	for _, pair := range r.either {
		switch {
		case e.empty(pair[0]) && e.empty(pair[1]):
			l.wrong(join(path, pair[0]), "is missing; an endpoint of kind "+r.kind+" needs "+pair[0]+" or "+pair[1])
		case !e.empty(pair[0]) && !e.empty(pair[1]):
			l.wrong(join(path, pair[1]), "there is "+pair[0]+" as well; keep one of the two")
		}
	}
	l.checkForms(path, e)
}

func hint(field string) string {
	if field == "secret" {
		return ", such as ${env:NAME} with whsec_ and 32 random bytes in base64"
	}
	return ""
}

var (
	namespaceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_.]{0,99}$`)
	routingForm   = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)
	tokenForm     = regexp.MustCompile(`^[\x21-\x7e]+$`)
)

// checkForms looks at the fields whose form does not depend on others, and at
// pairs that belong together.
func (l *loader) checkForms(path string, e *Endpoint) {
	say := func(field, fault string) {
		if fault != "" && !e.empty(field) {
			l.wrong(join(path, field), fault)
		}
	}
	say("url", urlFault(e.URL, "https://hooks.example.com/tocsin"))
	say("api_url", urlFault(e.APIURL, "https://api.example.com"))
	say("secret", unless(isSigningSecret(e.Secret.Reveal()), "is not a signing secret; write whsec_ and 24 to 64 random bytes in base64"))
	say("key_pair", unless(isKeyPair(e.KeyPair.Reveal()), "is not a key pair; write whsk_ and 32 random bytes in base64"))
	say("bot_token", unless(tokenForm.MatchString(e.BotToken.Reveal()), "is not a token; give it without spaces or line breaks"))
	say("bot_token", unless(e.Channel != "", "needs to know where to post; add channel, such as \"#security\""))
	say("channel", unless(e.empty("url") || !e.empty("bot_token"), "is not for an incoming webhook, which posts to its own; remove this, or use bot_token in place of url"))
	say("signing_secret", unless(tokenForm.MatchString(e.SigningSecret.Reveal()), "is not the signing secret of an app; give it without spaces or line breaks"))
	say("signing_secret", unless(!e.BotToken.IsZero(), "is of no use to an incoming webhook, whose messages have no buttons; remove this, or use bot_token in place of url"))
	say("routing_key", unless(routingForm.MatchString(e.RoutingKey.Reveal()), "is not an integration key; PagerDuty's have 32 letters and digits"))
	for i, one := range e.WebhookSecrets {
		if !tokenForm.MatchString(one.Reveal()) {
			l.wrong(index(join(path, "webhook_secrets"), i), "is not the secret of a webhook subscription; give it without spaces or line breaks")
		}
	}
	say("streams", unless(len(slices.Compact(slices.Sorted(slices.Values(e.Streams)))) == len(e.Streams), "names one twice; give each once"))
	if l.given(path, "streams") && len(e.Streams) == 0 {
		l.wrong(join(path, "streams"), "is empty; name what is written, or set enabled: false")
	}
	say("namespace", unless(namespaceForm.MatchString(e.Namespace), l.quote(join(path, "namespace"), e.Namespace)+" is not a namespace; write 1 to 100 of a-z, 0-9, _ and ., no -"))
	say("api_key", unless(tokenForm.MatchString(e.APIKey.Reveal()), "is not an API key; give its encoded form, without spaces or line breaks"))
	say("api_key", unless(e.Username == "" && e.Password.IsZero(), "there are username or password as well; keep one way to log in"))
	say("username", unless(!e.Password.IsZero(), "has no password; add it, or use api_key"))
	say("password", unless(e.Username != "", "has no username; add it, or use api_key"))
}

// isSigningSecret reports whether text is a secret of Standard Webhooks.
func isSigningSecret(text string) bool {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	b, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && len(b) >= 24 && len(b) <= 64
}

// isKeyPair reports whether text is a key pair of Standard Webhooks: a seed, or a
// seed and the public half.
func isKeyPair(text string) bool {
	encoded, ok := strings.CutPrefix(text, "whsk_")
	b, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && (len(b) == 32 || len(b) == 64)
}

func (l *loader) checkEvents(path string, globs []string) {
	for i, g := range globs {
		at := index(path, i)
		switch err := glob.Validate(g); {
		case err == nil:
		case l.hidden[at]:
			l.wrong(at, "the value matches no event type; use one such as alert.created or alert.* or *")
		default:
			l.wrong(at, err.Error())
		}
	}
}

// ownHeaders are set by the hub or by HTTP itself.
var ownHeaders = [...]string{
	"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Content-Length", "Content-Type", "Host",
	"Connection", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "User-Agent",
	"Accept-Encoding", "Content-Encoding", "Expect", "Keep-Alive", "Proxy-Connection",
}

var headerForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$")

// headerFault says what is wrong with a header's name, "" if nothing.
func headerFault(name string) string {
	switch {
	case !headerForm.MatchString(name):
		return "is not the name of a header; write for example X-Signature"
	case slices.Contains(ownHeaders[:], textproto.CanonicalMIMEHeaderKey(name)), strings.HasPrefix(strings.ToLower(name), "webhook-"):
		return "is a header that the hub sets itself; choose another"
	}
	return ""
}

func (l *loader) checkHeaders(path string, e *Endpoint) {
	for name, value := range e.Headers {
		at := join(path, name)
		if fault := headerFault(name); fault != "" {
			l.wrong(at, fault)
		}
		if strings.ContainsFunc(value.Reveal(), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			l.wrong(at, "the value has a line break or control character in it; remove it")
		}
	}
}

func (l *loader) checkSigning(path string, signing []Signing) {
	taken := map[string]bool{}
	for i, s := range signing {
		at, header := index(path, i), textproto.CanonicalMIMEHeaderKey(s.Header)
		if s.Type == "" {
			l.wrong(join(at, "type"), "is missing; write hex or timestamped")
		}
		if s.Header == "" {
			l.wrong(join(at, "header"), "is missing; write for example X-CV-Signature")
		} else if fault := headerFault(s.Header); fault != "" {
			l.wrong(join(at, "header"), fault)
		} else if taken[header] {
			l.wrong(join(at, "header"), "is used twice; give each signature its own header")
		}
		if strings.ContainsFunc(s.Prefix, func(c rune) bool { return c < ' ' || c > '~' }) {
			l.wrong(join(at, "prefix"), "must be printable ASCII, such as sha256=")
		}
		taken[header] = true
	}
}

func (l *loader) checkRetry(path string, r *Retry) {
	if r == nil {
		return
	}
	grows := r.Initial != 0 || r.Factor != 0 || r.Max != 0 || r.Attempts != 0
	switch {
	case len(r.Schedule) > 0 && grows:
		l.wrong(join(path, "schedule"), "there are initial, factor, max or attempts as well; use schedule alone, or those without it")
	case len(r.Schedule) > 100:
		l.wrong(join(path, "schedule"), "has more than 100 waits; give fewer and longer ones")
	case !grows:
	case r.Initial == 0:
		l.wrong(join(path, "initial"), "is missing; write the first wait, such as 5s")
	case r.Attempts == 0:
		l.wrong(join(path, "attempts"), "is missing; write how many attempts there are in all, such as 10")
	case r.Max != 0 && r.Max < r.Initial:
		l.wrong(join(path, "max"), "is less than initial; write a longer time")
	}
}

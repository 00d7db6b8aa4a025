package configs

import (
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/hub"
)

// email puts what only mail servers need where the hub has it.
func (e *Endpoint) email(config map[string]string) {
	for name, value := range given("host", e.Host, "tls", e.TLS, "from", e.From, "to", strings.Join(e.To, ", ")) {
		config[name] = value
	}
	if e.Port != 0 {
		config["port"] = strconv.Itoa(e.Port)
	}
	if e.Digest > 0 {
		config["digest"] = e.Digest.String()
	}
}

func (l *loader) checkEmail(path string, e *Endpoint) {
	if e.Kind != hub.KindEmail {
		return
	}
	if strings.ContainsAny(e.Host, "/: ") && strings.Count(e.Host, ":") < 2 {
		l.wrong(join(path, "host"), "must be the name or address alone, such as smtp.example.com; the port stands in port")
	}
	if e.TLS == "none" && e.Username != "" {
		l.wrong(join(path, "tls"), "none would send the password in the clear; write starttls or tls, or leave username out")
	}
	if e.Digest != 0 && e.Digest < time.Minute {
		l.wrong(join(path, "digest"), "is too short; write 1m or longer")
	}
	if _, err := mail.ParseAddress(e.From); e.From != "" && err != nil {
		l.wrong(join(path, "from"), "is no mail address; write soc@example.com or SOC <soc@example.com>")
	}
	for i, to := range e.To {
		if _, err := mail.ParseAddress(to); err != nil {
			l.wrong(index(join(path, "to"), i), "is no mail address; write soc@example.com or SOC <soc@example.com>")
		}
	}
}

// templateNames are the texts of a kind that templates can give.
func templateNames(kind string) []string {
	switch kind {
	case hub.KindEmail:
		return []string{"subject", "title", "body"}
	case hub.KindSlack:
		return []string{"text"}
	case hub.KindPagerDuty:
		return []string{"summary"}
	}
	return nil
}

func (l *loader) checkTemplates(path string, e *Endpoint) {
	known := templateNames(e.Kind)
	for name := range e.Templates {
		if len(known) > 0 && !slices.Contains(known, name) {
			l.wrong(join(path, name), "an endpoint of kind "+e.Kind+" has no such text; it has "+strings.Join(known, ", "))
		}
	}
}

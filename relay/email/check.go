package email

import (
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin/tocsin/hub"
)

// Ways to encrypt.
const (
	startTLS = "starttls" // asked for after the greeting, and demanded
	implicit = "tls"      // from the first byte
	plain    = "none"
)

// Limits of an endpoint.
const (
	maxRecipients = 50
	minDigest     = time.Minute
	maxDigest     = 7 * 24 * time.Hour
)

// settings are what an endpoint says.
type settings struct {
	host, port string
	tls        string
	from       *mail.Address
	to         []*mail.Address
	user, pass string
}

// domain is where the mails come from.
func (s *settings) domain() string {
	return s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:]
}

// Host gives the name or address of an endpoint's mail server, and its port.
func Host(e *hub.Endpoint) (host, port string) {
	port = e.Config["port"]
	if port == "" {
		port = map[string]string{startTLS: "587", implicit: "465", plain: "25", "": "587"}[e.Config["tls"]]
	}
	return e.Config["host"], port
}

// Digest gives how long an endpoint's mails are gathered; 0 for not at all.
func Digest(e *hub.Endpoint) time.Duration {
	d, _ := time.ParseDuration(e.Config["digest"])
	return d
}

// Recipients splits a list of addresses.
func Recipients(list string) ([]*mail.Address, error) { return mail.ParseAddressList(list) }

func settingsOf(e *hub.Endpoint) (*settings, error) {
	if fields := Check(e); len(fields) > 0 {
		return nil, hub.E(hub.Invalid, "the email endpoint is not complete: "+fields[0].Pointer[1:]+" "+fields[0].Detail)
	}
	s := &settings{tls: e.Config["tls"], user: e.Config["username"], pass: e.Secrets.Tokens["password"]}
	if s.tls == "" {
		s.tls = startTLS
	}
	s.host, s.port = Host(e)
	s.from, _ = mail.ParseAddress(e.Config["from"]) // Check read both
	s.to, _ = Recipients(e.Config["to"])
	return s, nil
}

// Check gives everything that is wrong with an endpoint's settings.
func Check(e *hub.Endpoint) (fields []hub.Field) {
	wrong := func(name, detail string) { fields = append(fields, hub.Field{Pointer: "/" + name, Detail: detail}) }
	host, port := Host(e)
	if host == "" {
		wrong("host", "is missing: the mail server, such as smtp.example.com")
	} else if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r > '~' }) || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		wrong("host", "must be the name or address of the mail server alone, such as smtp.example.com; the port stands in port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		wrong("port", "must be a port from 1 to 65535; 587 is usual")
	}
	if !slices.Contains([]string{"", startTLS, implicit, plain}, e.Config["tls"]) {
		wrong("tls", "must be starttls, tls (encrypted from the first byte, port 465) or none")
	}
	if _, why := address(e.Config["from"]); why != "" {
		wrong("from", why)
	}
	checkRecipients(e.Config["to"], wrong)
	checkLogin(e, wrong)
	if text := e.Config["digest"]; text != "" {
		if d, err := time.ParseDuration(text); err != nil || d != 0 && (d < minDigest || d > maxDigest) {
			wrong("digest", "must be a duration from 1m to 168h, such as 1h: one mail tells of all that came within it")
		}
	}
	return fields
}

func checkRecipients(list string, wrong func(name, detail string)) {
	if strings.TrimSpace(list) == "" {
		wrong("to", "is missing: who gets the mails, such as soc@example.com")
		return
	}
	all, err := Recipients(list)
	switch {
	case err != nil:
		wrong("to", "holds something that is no mail address; write such as soc@example.com")
	case len(all) > maxRecipients:
		wrong("to", "has more than "+strconv.Itoa(maxRecipients)+" addresses; use a mailing list")
	default:
		for i, a := range all {
			if _, why := address(a.Address); why != "" {
				wrong("to/"+strconv.Itoa(i), why)
			}
		}
	}
}

// address reads one address that can be said to any server.
func address(text string) (*mail.Address, string) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return nil, "must be a mail address, such as soc@example.com or SOC <soc@example.com>"
	}
	if len(a.Address) > 254 || strings.ContainsFunc(a.Address, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' }) {
		return nil, "must be a mail address of ASCII letters, up to 254"
	}
	return a, ""
}

func checkLogin(e *hub.Endpoint, wrong func(name, detail string)) {
	user, pass := e.Config["username"], e.Secrets.Tokens["password"]
	switch {
	case user == "" && pass == "":
	case pass == "":
		wrong("password", "is missing; username needs it")
	case user == "":
		wrong("username", "is missing; password needs it")
	case e.Config["tls"] == plain:
		wrong("tls", "none would send the password in the clear; use starttls or tls, or do without username")
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

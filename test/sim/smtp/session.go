package smtp

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Sizes of RFC 5321 §4.5.3.1, line ends included.
const (
	maxCommand = 512
	maxLine    = 1000
	maxRcpt    = 100
)

// A session is one connection.
type session struct {
	sim  *Sim
	conn net.Conn
	r    *bufio.Reader

	secure, greeted, authed bool
	from                    string // "" before MAIL
	eightBit                bool
	to                      []string
	quit                    bool
	refused                 bool // its log-in
}

func newSession(s *Sim, conn net.Conn) *session {
	return &session{sim: s, conn: conn, r: bufio.NewReader(conn)}
}

var errCut = errors.New("cut on purpose")

func (c *session) run() {
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	if c.sim.o.Implicit {
		secured := tls.Server(c.conn, c.sim.tls)
		if secured.Handshake() != nil {
			return
		}
		c.conn, c.r, c.secure = secured, bufio.NewReader(secured), true
	}
	if c.sim.chance(0.05) {
		return
	}
	c.say(220, "mail.sim.example ESMTP")
	for !c.quit {
		line, err := c.line(maxCommand)
		if err != nil {
			return
		}
		if c.sim.chance(0.02) {
			return
		}
		if c.command(line) != nil {
			return
		}
	}
}

// line reads a line that must end in CRLF and nothing else.
func (c *session) line(most int) (string, error) {
	text, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	if len(text) > most {
		c.sim.violate("a line has %d bytes, of %d", len(text), most)
	}
	body, ok := strings.CutSuffix(text, "\r\n")
	if !ok || strings.ContainsAny(body, "\r\x00") {
		c.sim.violate("a line does not end in CRLF, or holds CR or NUL: %q", text)
	}
	return body, nil
}

func (c *session) say(code int, lines ...string) {
	for i, l := range lines {
		mark := "-"
		if i == len(lines)-1 {
			mark = " "
		}
		fmt.Fprintf(c.conn, "%d%s%s\r\n", code, mark, l)
	}
}

// bad is an answer to what the client should not have said.
func (c *session) bad(code int, format string, args ...any) {
	c.sim.violate(format, args...)
	c.say(code, fmt.Sprintf(format, args...))
}

func (c *session) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		c.hello(rest)
	case "STARTTLS":
		return c.startTLS()
	case "AUTH":
		return c.auth(rest)
	case "MAIL":
		c.mail(rest)
	case "RCPT":
		c.rcpt(rest)
	case "DATA":
		return c.data()
	case "RSET":
		c.reset()
		c.say(250, "2.0.0 reset")
	case "NOOP":
		c.say(250, "2.0.0 ok")
	case "QUIT":
		c.say(221, "2.0.0 bye")
		c.quit = true
	case "*": // Go's clients cancel a log-in that was refused already
		c.say(501, "5.0.0 nothing to cancel")
		if !c.refused {
			c.sim.violate("a cancel without a log-in")
		}
	default:
		c.bad(500, "unknown command %q", verb)
	}
	return nil
}

func (c *session) reset() { c.from, c.to, c.eightBit = "", nil, false }

// domains and address literals, as EHLO takes them.
var helloForm = regexp.MustCompile(`^(\[(\d{1,3}(\.\d{1,3}){3}|IPv6:[0-9a-fA-F:.]+)\]|[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+)$`)

func (c *session) hello(name string) {
	if code, text := c.sim.steered("hello", name); code != 0 {
		c.say(code, text)
		return
	}
	if !helloForm.MatchString(name) {
		c.bad(501, "EHLO %q is no domain and no address literal", name)
		return
	}
	c.reset()
	c.greeted = true
	lines := []string{"mail.sim.example greets " + name, "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", fmt.Sprintf("SIZE %d", c.sim.o.MaxSize)}
	if !c.secure && !c.sim.o.NoTLS {
		lines = append(lines, "STARTTLS")
	}
	if c.secure && !c.sim.o.NoAuth {
		lines = append(lines, "AUTH "+strings.Join(c.sim.o.Ways, " "))
	}
	c.say(250, lines...)
}

func (c *session) startTLS() error {
	if c.secure || c.sim.o.NoTLS || !c.greeted {
		c.bad(503, "STARTTLS out of order")
		return nil
	}
	c.say(220, "2.0.0 go ahead")
	if c.r.Buffered() > 0 {
		c.sim.violate("said something between STARTTLS and the handshake")
	}
	secured := tls.Server(c.conn, c.sim.tls)
	if err := secured.Handshake(); err != nil {
		return err
	}
	// RFC 3207: nothing that was said before counts.
	c.conn, c.r, c.secure, c.greeted = secured, bufio.NewReader(secured), true, false
	c.reset()
	return nil
}

func (c *session) auth(rest string) error {
	way, initial, _ := strings.Cut(rest, " ")
	switch {
	case !c.secure:
		c.bad(538, "credentials before TLS")
		return nil
	case !c.greeted || c.authed || c.from != "" || c.sim.o.NoAuth:
		c.bad(503, "AUTH out of order")
		return nil
	case !slices.Contains(c.sim.o.Ways, strings.ToUpper(way)):
		c.bad(504, "AUTH %s was not offered", way)
		return nil
	}
	var user, pass string
	var err error
	if strings.EqualFold(way, "PLAIN") {
		if user, pass, err = c.plain(initial); err != nil {
			return err
		}
	} else if user, pass, err = c.login(); err != nil {
		return err
	}
	if code, text := c.sim.steered("auth", user); code != 0 {
		c.refused = true
		c.say(code, text)
		return nil
	}
	if user != DefaultUser || pass != DefaultPassword {
		c.refused = true
		c.say(535, "5.7.8 no such user or password")
		return nil
	}
	c.authed = true
	c.say(235, "2.7.0 welcome")
	return nil
}

func (c *session) ask(prompt string) (string, error) {
	c.say(334, base64.StdEncoding.EncodeToString([]byte(prompt)))
	line, err := c.line(12288) // RFC 4954 §4
	if err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.DecodeString(line)
	return string(b), err
}

func (c *session) plain(initial string) (user, pass string, err error) {
	text := ""
	if initial == "" {
		text, err = c.ask("")
	} else {
		var b []byte
		b, err = base64.StdEncoding.DecodeString(initial)
		text = string(b)
	}
	parts := strings.Split(text, "\x00")
	if err != nil || len(parts) != 3 {
		c.sim.violate("AUTH PLAIN with %q", text)
		return "", "", errCut
	}
	return parts[1], parts[2], nil
}

func (c *session) login() (user, pass string, err error) {
	if user, err = c.ask("Username:"); err != nil {
		return "", "", err
	}
	pass, err = c.ask("Password:")
	return user, pass, err
}

// ready says what is missing before mail is taken.
func (c *session) ready() bool {
	switch {
	case !c.greeted:
		c.bad(503, "EHLO is missing")
	case !c.secure && !c.sim.o.NoTLS:
		c.bad(530, "STARTTLS is missing")
	case !c.authed && !c.sim.o.NoAuth && !c.sim.o.NoTLS:
		c.bad(530, "AUTH is missing")
	default:
		return true
	}
	return false
}

var pathForm = regexp.MustCompile(`^<([^<>@\s]{1,64}@[A-Za-z0-9.-]{1,255}|\[[^\]]+\])>$`)

// path reads FROM:<…> and TO:<…> with parameters.
func (c *session) path(word, rest string) (address string, params []string, ok bool) {
	all := strings.Split(rest, " ")
	given, found := strings.CutPrefix(all[0], word+":")
	if !found || !pathForm.MatchString(given) {
		c.bad(501, "%s is not %s:<address>", rest, word)
		return "", nil, false
	}
	return strings.Trim(given, "<>"), all[1:], true
}

func (c *session) mail(rest string) {
	if !c.ready() {
		return
	}
	if c.from != "" {
		c.bad(503, "MAIL twice")
		return
	}
	from, params, ok := c.path("FROM", rest)
	if !ok {
		return
	}
	for _, p := range params {
		switch name, value, _ := strings.Cut(strings.ToUpper(p), "="); {
		case name == "BODY" && value == "8BITMIME":
			c.eightBit = true
		case name == "BODY" && value == "7BIT", name == "SIZE":
		default:
			c.bad(555, "MAIL with %s, which was not offered", p)
			return
		}
	}
	if code, text := c.sim.steered("mail", from); code != 0 {
		c.say(code, text)
		return
	}
	c.from = from
	c.say(250, "2.1.0 ok")
}

func (c *session) rcpt(rest string) {
	if c.from == "" {
		c.bad(503, "RCPT before MAIL")
		return
	}
	to, params, ok := c.path("TO", rest)
	if !ok {
		return
	}
	code, text := c.sim.steered("rcpt", to)
	switch {
	case len(params) > 0:
		c.bad(555, "RCPT with %v, which was not offered", params)
	case code != 0:
		c.say(code, text)
	case len(c.to) >= maxRcpt:
		c.say(452, "4.5.3 too many recipients")
	case c.sim.greylisted(c.from, to):
		c.say(450, "4.7.1 greylisted, come back in a moment")
	default:
		c.to = append(c.to, to)
		c.say(250, "2.1.5 ok")
	}
}

func (c *session) data() error {
	if c.from == "" || len(c.to) == 0 {
		c.bad(503, "DATA out of order")
		return nil
	}
	c.say(354, "end with a dot")
	raw, err := c.content()
	if err != nil {
		return err
	}
	code, text := c.sim.steered("data", c.from)
	switch {
	case code != 0:
	case len(raw) > c.sim.o.MaxSize:
		code, text = 552, "5.3.4 too large"
		c.sim.violate("a message of %d bytes, though SIZE was %d", len(raw), c.sim.o.MaxSize)
	case c.sim.chance(0.05):
		code, text = 451, "4.3.0 something is wrong here"
	default:
		m, faults := Judge(raw, c.eightBit)
		for _, f := range faults {
			c.sim.violate("message %s: %s", m.ID, f)
		}
		c.sim.take(c.from, c.to, m)
		if c.sim.chance(0.1) {
			return errCut // taken, but nobody was told
		}
		code, text = 250, "2.0.0 taken as 4Xq1"
	}
	c.reset()
	c.say(code, text)
	return nil
}

// content reads a message up to the dot, with the dots of its lines taken off.
func (c *session) content() ([]byte, error) {
	var raw []byte
	for {
		line, err := c.line(maxLine)
		if err != nil {
			return nil, err
		}
		if line == "." {
			return raw, nil
		}
		if strings.HasPrefix(line, ".") {
			if line = line[1:]; !strings.HasPrefix(line, ".") {
				c.sim.violate("a line starts with a single dot: %q", line)
			}
		}
		raw = append(raw, line+"\r\n"...)
		if len(raw) > 64<<20 {
			return nil, errCut
		}
	}
}

package email

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/safehttp"
)

// patience is after how many attempts a mail goes to those whose mailboxes take
// it, without waiting for the others: by the usual schedule some five minutes
// after the first, which is as long as greylisting takes.
const patience = 2

// mostAnswer bounds what is kept of an answer.
const mostAnswer = 1000

// What a refusal says, and says of the message itself.
const (
	refuses        = "the mail server refuses "
	theMessage     = "the message"
	refusesMessage = refuses + theMessage
)

// A mailing is a message ready to be sent.
type mailing struct {
	id      string // Message-ID without brackets
	subject string
	raw     []byte
}

// transmit says a mailing to the endpoint's server. made is how many attempts
// there were.
func (t *Target) transmit(ctx context.Context, s *settings, m *mailing, made int) (hub.Attempt, error) {
	sum := sha256.Sum256(m.raw)
	a := hub.Attempt{
		Digest: "sha-256=" + hex.EncodeToString(sum[:]),
		Request: map[string]string{
			"From": s.from.String(), "To": joined(s), "Subject": m.subject, "Message-Id": "<" + m.id + ">", "Server": net.JoinHostPort(s.host, s.port),
		},
	}
	conn, err := t.o.Client.Dial(ctx, net.JoinHostPort(s.host, s.port))
	if err != nil {
		return a, unreached(err)
	}
	defer conn.Close()
	a.Address = conn.RemoteAddr().String()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err = t.converse(conn, s, m, &a, made >= patience)
	return a, scrubbed(&a, s, err)
}

func joined(s *settings) string {
	all := make([]string, len(s.to))
	for i, to := range s.to {
		all[i] = to.String()
	}
	return strings.Join(all, ", ")
}

// unreached is the error for a server that cannot be reached.
func unreached(err error) error {
	var refused *safehttp.Refused
	if errors.As(err, &refused) {
		return err
	}
	return hub.Wrap(hub.Transient, err, "the mail server: "+safehttp.Explain(err))
}

// converse is one session: what comes before the message is about server and
// account, and is tried again; what is about the message decides about it.
func (t *Target) converse(conn net.Conn, s *settings, m *mailing, a *hub.Attempt, goOn bool) error {
	c, err := t.open(conn, s)
	if err != nil {
		return before(a, err)
	}
	defer c.Close()
	if err := c.Mail("<" + s.from.Address + ">"); err != nil {
		return about(a, "the sender "+s.from.Address, err)
	}
	if err := recipients(c, s, a, goOn); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return about(a, theMessage, err)
	}
	if _, err := w.Write(m.raw); err != nil {
		return about(a, theMessage, err)
	}
	if err := w.Close(); err != nil {
		return about(a, theMessage, err)
	}
	a.Status = 250
	if d, ok := w.(*smtp.DataCloser); ok {
		a.Body = d.ServerResponse()
	}
	_ = c.Quit() // it has the message: how it says goodbye does not matter
	return nil
}

// open greets, encrypts and logs in.
func (t *Target) open(conn net.Conn, s *settings) (*smtp.Client, error) {
	config := &tls.Config{}
	if t.o.TLS != nil {
		config = t.o.TLS.Clone()
	}
	config.ServerName, config.MinVersion = s.host, max(config.MinVersion, tls.VersionTLS12)
	hello := t.o.Hello
	if hello == "" {
		hello = literal(conn.LocalAddr())
	}
	if s.tls == implicit {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return nil, err
	}
	c.SkipSMTPUTF8(true) // addresses are ASCII, and not every next hop knows it
	if err := c.Hello(hello); err != nil {
		return nil, err
	}
	if s.tls == startTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return nil, errNoTLS
		}
		if err := c.StartTLS(config); err != nil {
			return nil, err
		}
	}
	if s.user == "" {
		return c, nil
	}
	how, err := login(c, s)
	if err != nil {
		return nil, err
	}
	return c, c.Auth(how)
}

var (
	errNoTLS   = errors.New("it offers no STARTTLS; set tls to tls or, in a network that you trust, to none")
	errNoLogin = errors.New("it offers no way to log in that the hub knows (SCRAM-SHA-256, PLAIN, LOGIN); check port and tls, or leave username and password out")
)

// login chooses the strongest way that the server offers.
func login(c *smtp.Client, s *settings) (smtp.Auth, error) {
	_, offered := c.Extension("AUTH")
	ways := " " + strings.ToUpper(offered) + " "
	switch {
	case strings.Contains(ways, " SCRAM-SHA-256 "):
		return smtp.ScramSHA256Auth(s.user, s.pass), nil
	case strings.Contains(ways, " PLAIN "):
		return smtp.PlainAuth("", s.user, s.pass, s.host, false), nil
	case strings.Contains(ways, " LOGIN "):
		return smtp.LoginAuth(s.user, s.pass, s.host, false), nil
	}
	return nil, errNoLogin
}

// literal is an address as EHLO has it (RFC 5321 §4.1.3).
func literal(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	ip := net.ParseIP(host)
	switch {
	case err != nil || ip == nil:
		return "[127.0.0.1]"
	case ip.To4() != nil:
		return "[" + ip.To4().String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// recipients names those who are to get the mail. One mailbox that is full or
// gone must not keep it from the others: those refused for good are left out and
// told of, those refused for now are waited for a while.
func recipients(c *smtp.Client, s *settings, a *hub.Attempt, goOn bool) error {
	var left []string
	var last error
	taken := 0
	for _, to := range s.to {
		err := c.Rcpt("<" + to.Address + ">")
		if err == nil {
			taken++
			continue
		}
		judged := about(a, "the recipient "+to.Address, err)
		if a.Status == 0 || hub.KindOf(judged) == hub.Transient && !goOn {
			return judged // cut off, or to be waited for
		}
		if last == nil || hub.KindOf(judged) == hub.Transient {
			last = judged
		}
		left = append(left, to.Address+": "+said(err))
	}
	if taken == 0 {
		return last
	}
	if len(left) > 0 {
		a.Response = map[string]string{"Not-Delivered-To": strings.Join(left, "; ")}
	}
	return nil
}

// said is what the server answered, on one line.
func said(err error) string {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		return safehttp.Explain(err)
	}
	text := strings.Join(strings.Fields(strings.ToValidUTF8(answer.Msg, "\uFFFD")), " ")
	if len(text) > mostAnswer {
		text = strings.ToValidUTF8(text[:mostAnswer], "")
	}
	return strconv.Itoa(answer.Code) + " " + text
}

// before judges an error from before the message.
func before(a *hub.Attempt, err error) error {
	var answer *textproto.Error
	switch {
	case errors.As(err, &answer):
		a.Status, a.Body = answer.Code, said(err)
		advice := ""
		if answer.Code == 535 || answer.Code == 534 || answer.Code == 530 {
			advice = "; check username and password"
		}
		return hub.E(hub.Transient, "the mail server refuses the session: "+said(err)+advice)
	case errors.Is(err, errNoTLS), errors.Is(err, errNoLogin):
		return hub.E(hub.Transient, "the mail server cannot be used: "+err.Error())
	}
	return hub.Wrap(hub.Transient, err, "the mail server: "+safehttp.Explain(err))
}

// about judges an error that is about the message.
func about(a *hub.Attempt, what string, err error) error {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		a.Status = 0
		return hub.Wrap(hub.Transient, err, "the mail server: "+safehttp.Explain(err))
	}
	a.Status, a.Body = answer.Code, said(err)
	kind := hub.Transient
	if answer.Code >= 500 {
		kind = hub.Invalid
	}
	return hub.E(kind, refuses+what+": "+said(err))
}

// scrubbed takes the password out of what the server said. Errors for the log
// are left out: they may quote what was sent.
func scrubbed(a *hub.Attempt, s *settings, err error) error {
	hide := func(text string) string {
		if len(s.pass) < 4 {
			return text
		}
		return strings.ReplaceAll(text, s.pass, "***")
	}
	a.Body = hide(a.Body)
	for name, v := range a.Response {
		a.Response[name] = hide(v)
	}
	var e *hub.Error
	if !errors.As(err, &e) {
		return err
	}
	out := &hub.Error{Kind: e.Kind, Msg: hide(e.Msg)}
	if e.Err != nil {
		out.Err = errors.New(hide(fmt.Sprint(e.Err)))
	}
	return out
}

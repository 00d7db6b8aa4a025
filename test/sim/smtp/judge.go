package smtp

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A Mail is a message as a reader shows it.
type Mail struct {
	ID         string // with brackets
	Subject    string // decoded
	Header     mail.Header
	InReplyTo  string
	References []string
	Text, HTML string
}

// Fields that a message has once at most (RFC 5322 §3.6).
var single = []string{
	"Date", "From", "Sender", "Reply-To", "To", "Cc", "Message-Id", "In-Reply-To", "References", "Subject",
	"Mime-Version", "Content-Type", "Content-Transfer-Encoding", "List-Id", "Auto-Submitted",
}

var idForm = regexp.MustCompile(`^<[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]+@[A-Za-z0-9.-]+>$`)

// A judge collects what is wrong with a message.
type judge struct {
	faults []string
}

func (j *judge) wrong(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// Judge reads a message and says everything that is wrong with it.
func Judge(raw []byte, eightBit bool) (Mail, []string) {
	j := &judge{}
	if !eightBit && bytes.ContainsFunc(raw, func(r rune) bool { return r > 0x7e }) {
		j.wrong("8-bit content without BODY=8BITMIME")
	}
	j.head(raw)
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		j.wrong("cannot be read: %v", err)
		return Mail{}, j.faults
	}
	out := Mail{Header: m.Header, ID: m.Header.Get("Message-Id"), InReplyTo: m.Header.Get("In-Reply-To")}
	j.fields(m.Header, &out)
	body, err := io.ReadAll(m.Body)
	if err != nil {
		j.wrong("its body cannot be read: %v", err)
	}
	j.part(textproto.MIMEHeader(m.Header), body, &out, 0)
	if strings.TrimSpace(out.Text) == "" {
		j.wrong("it has no text")
	}
	return out, j.faults
}

// head looks at the header's own lines.
func (j *judge) head(raw []byte) {
	head, _, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		j.wrong("no empty line ends the header")
	}
	for l := range strings.SplitSeq(string(head), "\r\n") {
		switch {
		case len(l) > 998:
			j.wrong("a header line of %d characters", len(l))
		case strings.ContainsFunc(l, func(r rune) bool { return r > 0x7e || r < ' ' && r != '\t' }):
			j.wrong("a header line holds other than printable ASCII: %q", l)
		case strings.TrimSpace(l) == "":
			j.wrong("a header line is blank")
		case l[0] == ' ' || l[0] == '\t':
		case !regexp.MustCompile(`^[!-9;-~]+:`).MatchString(l):
			j.wrong("a header line is no field: %q", l)
		case len(l) > 78 && !strings.Contains(strings.ToLower(l), "message-id"):
			// RFC 5322 §2.1.1 asks for no more than 78; a word cannot be folded
			if len(strings.Fields(l)) > 2 {
				j.wrong("a header line of %d characters could be folded: %q", len(l), l)
			}
		}
	}
}

func (j *judge) fields(h mail.Header, out *Mail) {
	for _, name := range single {
		if n := len(h[name]); n > 1 {
			j.wrong("%d fields %s", n, name)
		}
	}
	if at, err := h.Date(); err != nil {
		j.wrong("Date: %v", err)
	} else if d := time.Until(at); d > time.Hour {
		j.wrong("Date is %v ahead", d)
	}
	for _, name := range []string{"From", "To"} {
		if _, err := h.AddressList(name); err != nil {
			j.wrong("%s: %v", name, err)
		}
	}
	if !idForm.MatchString(out.ID) {
		j.wrong("Message-ID is %q", out.ID)
	}
	out.References = strings.Fields(h.Get("References"))
	for _, id := range append(slices.Clone(out.References), strings.Fields(out.InReplyTo)...) {
		if !idForm.MatchString(id) {
			j.wrong("refers to %q", id)
		}
	}
	var err error
	if out.Subject, err = new(mime.WordDecoder).DecodeHeader(h.Get("Subject")); err != nil || strings.TrimSpace(out.Subject) == "" {
		j.wrong("Subject: %q, %v", h.Get("Subject"), err)
	}
	if strings.ContainsAny(out.Subject, "\r\n\x00") {
		j.wrong("Subject has line breaks in it once decoded: %q", out.Subject)
	}
	if strings.TrimSpace(h.Get("Mime-Version")) != "1.0" {
		j.wrong("MIME-Version is %q", h.Get("Mime-Version"))
	}
}

// part reads one part, and those inside it.
func (j *judge) part(h textproto.MIMEHeader, body []byte, out *Mail, depth int) {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err != nil:
		j.wrong("Content-Type %q: %v", h.Get("Content-Type"), err)
	case strings.HasPrefix(media, "multipart/") && depth < 5:
		j.parts(params["boundary"], body, out, depth)
	case media != "text/plain" && media != "text/html":
		j.wrong("a part of type %s", media)
	default:
		text := j.decode(h.Get("Content-Transfer-Encoding"), body)
		if !strings.EqualFold(params["charset"], "utf-8") || !utf8.ValidString(text) {
			j.wrong("a part of charset %q is not UTF-8", params["charset"])
		}
		if media == "text/html" {
			if out.Text == "" {
				j.wrong("the HTML comes before the text; the last part is the one that readers prefer")
			}
			out.HTML += text
		} else {
			out.Text += text
		}
	}
}

func (j *judge) parts(boundary string, body []byte, out *Mail, depth int) {
	if boundary == "" || len(boundary) > 70 {
		j.wrong("the boundary is %q", boundary)
		return
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	n := 0
	for ; ; n++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			j.wrong("part %d: %v", n, err)
			return
		}
		inner, err := io.ReadAll(p)
		if err != nil {
			j.wrong("part %d: %v", n, err)
			return
		}
		j.part(p.Header, inner, out, depth+1)
	}
	if n == 0 {
		j.wrong("a multipart without parts")
	}
}

func (j *judge) decode(encoding string, body []byte) string {
	var r io.Reader = bytes.NewReader(body)
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		for l := range bytes.SplitSeq(body, []byte("\r\n")) {
			if len(l) > 76 {
				j.wrong("a quoted-printable line of %d characters", len(l))
			}
		}
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "", "7bit", "8bit":
	default:
		j.wrong("Content-Transfer-Encoding %q", encoding)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		j.wrong("a part cannot be decoded: %v", err)
	}
	return string(text)
}

package smtp

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/test/sim/unkind"
)

// talk says lines and gives the codes of the answers.
func talk(t *testing.T, s *Sim, lines ...string) (codes []string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	hear := func() bool {
		for {
			l, err := r.ReadString('\n')
			if err != nil {
				return false
			}
			if l[3] == ' ' {
				codes = append(codes, l[:3])
				return true
			}
		}
	}
	hear()
	for _, l := range lines {
		fmt.Fprint(conn, l)
		if !hear() {
			break
		}
	}
	return codes
}

const good = "From: a@b.example\r\nTo: c@d.example\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@b.example>\r\nSubject: s\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nhello\r\n"

// The judge judges: what is wrong is found, what is right is not.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct{ old, new, finds string }{
		"good":           {"", "", ""},
		"no date":        {"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n", "", "Date"},
		"no id":          {"Message-ID: <1@b.example>\r\n", "", "Message-ID"},
		"bad id":         {"<1@b.example>", "1", "Message-ID"},
		"two subjects":   {"Subject: s\r\n", "Subject: s\r\nSubject: t\r\n", "2 fields Subject"},
		"8 bit":          {"hello", "h\xc3\xa9llo", "8-bit"},
		"header 8 bit":   {"Subject: s", "Subject: \xc3\xa9", "ASCII"},
		"no field":       {"Subject: s", "Subject s", "no field"},
		"no charset":     {"; charset=UTF-8", "", "charset"},
		"hidden break":   {"Subject: s", "Subject: =?utf-8?q?a=0D=0Ab?=", "line breaks"},
		"long line":      {"Subject: s", "Subject: " + strings.Repeat("word ", 40), "folded"},
		"no recipient":   {"To: c@d.example\r\n", "", "To"},
		"not MIME":       {"MIME-Version: 1.0\r\n", "", "MIME-Version"},
		"attachment":     {"text/plain", "application/zip", "application/zip"},
		"empty":          {"hello", "", "no text"},
		"bad references": {"Subject: s", "References: alt_1\r\nSubject: s", "refers to"},
	} {
		_, faults := Judge([]byte(strings.Replace(good, c.old, c.new, 1)), false)
		if c.finds == "" != (len(faults) == 0) || !strings.Contains(strings.Join(faults, "\n"), c.finds) {
			t.Errorf("%s: found %q, want %q", name, faults, c.finds)
		}
	}
}

func TestOrderOfCommands(t *testing.T) {
	s, err := Start(Options{Options: unkind.Options{Kind: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := talk(t, s, "EHLO localhost\r\n", "EHLO [127.0.0.1]\r\n", "MAIL FROM:<a@b.example>\r\n", "AUTH PLAIN AAAA\r\n", "RCPT TO:<c@d.example>\r\n", "FOO\n", "QUIT\r\n")
	if want := []string{"220", "501", "250", "530", "538", "503", "500", "221"}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	if n := len(s.Violations()); n != 6 {
		t.Errorf("%d violations: %q", n, s.Violations())
	}
}

// Dots are taken off as RFC 5321 §4.5.2 says, and mail is taken once for each
// Message-ID.
func TestDotsAndRepeats(t *testing.T) {
	s, err := Start(Options{Options: unkind.Options{Kind: true}, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mail := []string{"MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n", strings.Replace(good, "hello", "..hello\r\nb", 1) + ".\r\n"}
	got := talk(t, s, append(append([]string{"EHLO [127.0.0.1]\r\n"}, mail...), mail...)...)
	if want := "220 250 250 250 354 250 250 250 354 250"; strings.Join(got, " ") != want {
		t.Errorf("answers %v, want %s", got, want)
	}
	all := s.Messages()
	if len(all) != 1 || all[0].Copies != 2 || all[0].Text != ".hello\r\nb\r\n" || len(s.Violations()) > 0 {
		t.Errorf("took %+v, found %q", all, s.Violations())
	}
}

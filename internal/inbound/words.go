package inbound

import "strings"

// kinds tells the type of a finding by words, as [plain] writes them. The first
// that is found counts, so what says more comes first.
var kinds = [...]struct {
	kind  string
	words []string
}{
	{"sql_injection", []string{"sql injection", " sqli ", "sqlinjection"}},
	{"xss", []string{"cross site scripting", " xss "}},
	{"csrf", []string{" csrf ", "cross site request forgery"}},
	{"brute_force", []string{"brute force", "bruteforce", "password spray", "password guessing", "failed login", "login fail", "authentication fail", "failed authentication", "failed logon", "failed password", "credential stuffing"}},
	{"malware", []string{"malware", " virus", "trojan", "ransom", "spyware", " worm ", "botnet", "command and control", "backdoor", "rootkit", "cryptomin", "crypto min"}},
	{"vulnerability", []string{"vulnerab", "exploit", " cve "}},
	{"compliance", []string{"compliance", "noncompliant"}},
	{"misconfiguration", []string{"misconfig", "publicly accessible", "world readable"}},
	{"iam", []string{"privilege", "credential", "account created", "user created", "role assign", "password change", "impossible travel", "root login", "account lock"}},
	{"policy", []string{"policy", "data loss", " dlp ", "url filter", "violation"}},
	{"anomaly", []string{"anomal", "unusual", "behavio", "outlier"}},
	{"network", []string{"intrusion", " ids ", " ips ", " scan", "firewall", " flood", "denial of service", " ddos ", "spoof", " c2 "}},
}

// TypeOf guesses the type of a finding from what a source calls it, the best
// text first; "" if no text tells it. It is for formats that have no closed list
// of their own.
func TypeOf(texts ...string) string {
	for _, text := range texts {
		if text == "" {
			continue
		}
		text = plain(text)
		for _, k := range kinds {
			for _, w := range k.words {
				if strings.Contains(text, w) {
					return k.kind
				}
			}
		}
	}
	return ""
}

// plain writes a text in small letters and digits with a blank between words
// and at both ends.
func plain(text string) string {
	b := make([]byte, 1, len(text)+2)
	b[0] = ' '
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9') && c < 0x80:
			c = ' '
		}
		if c != ' ' || b[len(b)-1] != ' ' {
			b = append(b, c)
		}
	}
	if b[len(b)-1] != ' ' {
		b = append(b, ' ')
	}
	return string(b)
}

// Said gives the first text that is not blank, without blanks around it.
func Said(texts ...string) string {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			return t
		}
	}
	return ""
}

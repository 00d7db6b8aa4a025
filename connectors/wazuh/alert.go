package wazuh

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/internal/inbound"
)

// An alert is what is read of Wazuh's alert.
type alert struct {
	Time     inbound.Time `json:"timestamp"`
	ID       inbound.Text `json:"id"`
	Location inbound.Text `json:"location"`
	FullLog  inbound.Text `json:"full_log"`
	Title    inbound.Text `json:"title"` // of rootcheck
	Rule     rule         `json:"rule"`
	Agent    agent        `json:"agent"`
	Manager  named        `json:"manager"`
	Decoder  named        `json:"decoder"`
	Syscheck *syscheck    `json:"syscheck"`
	Data     data         `json:"data"`

	raw jsontext.Value
}

type rule struct {
	ID          inbound.Text   `json:"id"`
	Level       inbound.Number `json:"level"`
	Description inbound.Text   `json:"description"`
	Groups      texts          `json:"groups"`
	MITRE       struct {
		ID        texts `json:"id"`
		Tactic    texts `json:"tactic"`
		Technique texts `json:"technique"`
	} `json:"mitre"`
	PCI   texts `json:"pci_dss"`
	GDPR  texts `json:"gdpr"`
	HIPAA texts `json:"hipaa"`
	NIST  texts `json:"nist_800_53"`
	TSC   texts `json:"tsc"`
}

type agent struct {
	ID   inbound.Text `json:"id"`
	Name inbound.Text `json:"name"`
	IP   inbound.Text `json:"ip"`
}

type named struct {
	Name inbound.Text `json:"name"`
}

type syscheck struct {
	Path  inbound.Text `json:"path"`
	Event inbound.Text `json:"event"`
	Mode  inbound.Text `json:"mode"`
	SHA   inbound.Text `json:"sha256_after"`
	User  inbound.Text `json:"uname_after"`
}

type data struct {
	SrcIP   inbound.Text `json:"srcip"`
	DstIP   inbound.Text `json:"dstip"`
	DstPort inbound.Text `json:"dstport"`
	SrcUser inbound.Text `json:"srcuser"`
	DstUser inbound.Text `json:"dstuser"`
	User    inbound.Text `json:"user"`
	URL     inbound.Text `json:"url"`
	File    inbound.Text `json:"file"`
	Title   inbound.Text `json:"title"` // of rootcheck

	Vulnerability *vulnerability `json:"vulnerability"`
	SCA           *sca           `json:"sca"`
	VirusTotal    *virusTotal    `json:"virustotal"`
	Windows       struct {
		EventData struct {
			Target inbound.Text `json:"targetUserName"`
			IP     inbound.Text `json:"ipAddress"`
			Image  inbound.Text `json:"image"`
		} `json:"eventdata"`
	} `json:"win"`
}

type vulnerability struct {
	CVE       inbound.Text `json:"cve"`
	Severity  inbound.Text `json:"severity"`
	Status    inbound.Text `json:"status"`
	Title     inbound.Text `json:"title"`
	Reference inbound.Text `json:"reference"`
	Package   struct {
		Name      inbound.Text `json:"name"`
		Version   inbound.Text `json:"version"`
		Condition inbound.Text `json:"condition"`
	} `json:"package"`
	Score struct {
		Base inbound.Number `json:"base"`
	} `json:"score"`
	CVSS map[string]struct {
		Base inbound.Number `json:"base_score"`
	} `json:"cvss"`
}

type sca struct {
	Policy   inbound.Text `json:"policy"`
	PolicyID inbound.Text `json:"policy_id"`
	Check    *struct {
		ID          inbound.Text `json:"id"`
		Title       inbound.Text `json:"title"`
		Rationale   inbound.Text `json:"rationale"`
		Remediation inbound.Text `json:"remediation"`
		Result      inbound.Text `json:"result"`
	} `json:"check"`
}

type virusTotal struct {
	Source struct {
		File inbound.Text `json:"file"`
	} `json:"source"`
	Permalink inbound.Text `json:"permalink"`
}

// texts is a list, or one text.
type texts []string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (t *texts) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*t = nil
	if d.PeekKind() != '[' {
		var one inbound.Text
		err := one.UnmarshalJSONFrom(d)
		if one != "" {
			*t = texts{string(one)}
		}
		return err
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		var one inbound.Text
		if err := one.UnmarshalJSONFrom(d); err != nil {
			return err
		}
		*t = append(*t, string(one))
	}
	_, err := d.ReadToken()
	return err
}

// maxLevel is the highest level of a rule.
const maxLevel = 16

// decode reads an alert, or what carries one.
func decode(raw jsontext.Value) (*alert, error) {
	raw, err := unwrap(raw)
	if err != nil {
		return nil, err
	}
	a := alert{raw: raw}
	if err := inbound.Decode(raw, &a, false); err != nil {
		return nil, err
	}
	if a.Rule.ID == "" {
		return nil, errors.New("rule.id is missing: it is no Wazuh alert")
	}
	if n := a.Rule.Level.Int(); n < 0 || n > maxLevel {
		return nil, fmt.Errorf("rule.level must be 0 to %d", maxLevel)
	}
	return &a, nil
}

// unwrap takes an alert out of what carries it: the integrator's message for
// Shuffle has it in all_fields, an event of Filebeat as text in message.
func unwrap(raw jsontext.Value) (jsontext.Value, error) {
	var w struct {
		Rule    jsontext.Value `json:"rule"`
		All     jsontext.Value `json:"all_fields"`
		Message inbound.Text   `json:"message"`
	}
	if err := inbound.Decode(raw, &w, false); err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(w.Message))
	switch {
	case len(w.Rule) > 0:
		return raw, nil
	case w.All.Kind() == '{':
		return w.All, nil
	case strings.HasPrefix(text, "{"):
		inner := jsontext.Value(text)
		if !inner.IsValid(jsontext.AllowDuplicateNames(true)) {
			return nil, errors.New("message holds an alert that is no valid JSON")
		}
		return inner, nil
	}
	return raw, nil
}

package ocsf

import "github.com/tocsin/tocsin/internal/inbound"

type (
	text   = inbound.Text
	number = inbound.Number
)

// An event is a finding of any class, as far as it is understood here.
type event struct {
	Class      number       `json:"class_uid"`
	ClassName  text         `json:"class_name"`
	Activity   number       `json:"activity_id"`
	SeverityID number       `json:"severity_id"`
	Severity   text         `json:"severity"`
	StatusID   number       `json:"status_id"`
	Status     text         `json:"status"`
	StatusCode text         `json:"status_code"`
	StateID    number       `json:"state_id"` // of 2001
	Time       inbound.Time `json:"time"`
	Message    text         `json:"message"`
	RiskScore  number       `json:"risk_score"`
	SrcURL     text         `json:"src_url"`
	Desc       text         `json:"desc"` // of 2005

	Metadata struct {
		UID         text   `json:"uid"`
		Correlation text   `json:"correlation_uid"`
		EventCode   text   `json:"event_code"`
		Sequence    number `json:"sequence"`
		Product     struct {
			UID     text `json:"uid"`
			Name    text `json:"name"`
			Vendor  text `json:"vendor_name"`
			Feature struct {
				UID  text `json:"uid"`
				Name text `json:"name"`
			} `json:"feature"`
		} `json:"product"`
	} `json:"metadata"`

	Info     info   `json:"finding_info"`
	Old      info   `json:"finding"`           // of 2001
	InfoList []info `json:"finding_info_list"` // of 2005
	Ticket   struct {
		UID text `json:"uid"`
	} `json:"ticket"`

	Cloud struct {
		Provider text `json:"provider"`
		Region   text `json:"region"`
		Account  struct {
			UID  text `json:"uid"`
			Name text `json:"name"`
		} `json:"account"`
	} `json:"cloud"`
	Resource  resource   `json:"resource"`
	Resources []resource `json:"resources"`
	Device    struct {
		UID      text `json:"uid"`
		Hostname text `json:"hostname"`
		Name     text `json:"name"`
		IP       text `json:"ip"`
		Type     text `json:"type"`
		Region   text `json:"region"`
	} `json:"device"`

	Vulnerabilities []vulnerability `json:"vulnerabilities"`
	Compliance      struct {
		Control      text   `json:"control"`
		Requirements []text `json:"requirements"`
		Standards    []text `json:"standards"`
		Status       text   `json:"status"`
		StatusID     number `json:"status_id"`
		StatusCode   text   `json:"status_code"`
	} `json:"compliance"`
	Malware []struct {
		Name text `json:"name"`
	} `json:"malware"`
	Remediation struct {
		Desc       text   `json:"desc"`
		References []text `json:"references"`
	} `json:"remediation"`
}

type info struct {
	UID      text         `json:"uid"`
	Title    text         `json:"title"`
	Desc     text         `json:"desc"`
	Types    []text       `json:"types"`
	SrcURL   text         `json:"src_url"`
	Created  inbound.Time `json:"created_time"`
	Modified inbound.Time `json:"modified_time"`
	LastSeen inbound.Time `json:"last_seen_time"`
	Analytic struct {
		UID  text `json:"uid"`
		Name text `json:"name"`
	} `json:"analytic"`
	Attacks []struct {
		Technique struct {
			UID text `json:"uid"`
		} `json:"technique"`
	} `json:"attacks"`
}

type resource struct {
	UID    text   `json:"uid"`
	Name   text   `json:"name"`
	Type   text   `json:"type"`
	Region text   `json:"region"`
	Labels []text `json:"labels"`
	Tags   []struct {
		Name  text `json:"name"`
		Value text `json:"value"`
	} `json:"tags"`
}

type vulnerability struct {
	Title    text `json:"title"`
	Desc     text `json:"desc"`
	Severity text `json:"severity"`
	CVE      struct {
		UID  text `json:"uid"`
		CVSS []struct {
			Score   number `json:"base_score"`
			Version text   `json:"version"`
		} `json:"cvss"`
	} `json:"cve"`
	Advisory struct {
		UID text `json:"uid"`
	} `json:"advisory"`
	CWE struct {
		UID text `json:"uid"`
	} `json:"cwe"`
	Packages []pkg `json:"affected_packages"`
	Old      []pkg `json:"packages"` // before 1.1
}

type pkg struct {
	Name    text `json:"name"`
	Version text `json:"version"`
	Fixed   text `json:"fixed_in_version"`
}

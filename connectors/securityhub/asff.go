package securityhub

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/internal/inbound"
)

type text = inbound.Text

// An asff is a finding as far as it is understood here.
type asff struct {
	ID            text         `json:"Id"`
	ProductArn    text         `json:"ProductArn"`
	ProductName   text         `json:"ProductName"`
	CompanyName   text         `json:"CompanyName"`
	GeneratorID   text         `json:"GeneratorId"`
	AwsAccountID  text         `json:"AwsAccountId"`
	Region        text         `json:"Region"`
	Types         []text       `json:"Types"`
	CreatedAt     inbound.Time `json:"CreatedAt"`
	UpdatedAt     inbound.Time `json:"UpdatedAt"`
	FirstObserved inbound.Time `json:"FirstObservedAt"`
	LastObserved  inbound.Time `json:"LastObservedAt"`
	Title         text         `json:"Title"`
	Description   text         `json:"Description"`
	SourceURL     text         `json:"SourceUrl"`
	RecordState   text         `json:"RecordState"`

	Severity severity `json:"Severity"`
	Provider struct {
		Severity severity `json:"Severity"`
		Types    []text   `json:"Types"`
	} `json:"FindingProviderFields"`
	Workflow struct {
		Status text `json:"Status"`
	} `json:"Workflow"`
	Remediation struct {
		Recommendation struct {
			Text text `json:"Text"`
			URL  text `json:"Url"`
		} `json:"Recommendation"`
	} `json:"Remediation"`
	ProductFields map[string]text `json:"ProductFields"`
	Malware       []struct {
		Name text `json:"Name"`
	} `json:"Malware"`
	Resources       []resource      `json:"Resources"`
	Compliance      compliance      `json:"Compliance"`
	Vulnerabilities []vulnerability `json:"Vulnerabilities"`

	raw jsontext.Value
}

type severity struct {
	Label      text           `json:"Label"`
	Normalized inbound.Number `json:"Normalized"`
	Original   text           `json:"Original"`
}

type resource struct {
	Type   text            `json:"Type"`
	ID     text            `json:"Id"`
	Region text            `json:"Region"`
	Tags   map[string]text `json:"Tags"`
}

type compliance struct {
	Status     text   `json:"Status"`
	ControlID  text   `json:"SecurityControlId"`
	Related    []text `json:"RelatedRequirements"`
	Associated []struct {
		ID text `json:"StandardsId"`
	} `json:"AssociatedStandards"`
}

type vulnerability struct {
	ID   text `json:"Id"`
	Cvss []struct {
		Version   text           `json:"Version"`
		BaseScore inbound.Number `json:"BaseScore"`
	} `json:"Cvss"`
	Packages []struct {
		Name    text `json:"Name"`
		Version text `json:"Version"`
		FixedIn text `json:"FixedInVersion"`
	} `json:"VulnerablePackages"`
}

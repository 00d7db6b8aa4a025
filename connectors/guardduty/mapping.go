package guardduty

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/inbound"
)

type text = inbound.Text

// A report is a finding. EventBridge writes its names in lower case at first,
// the API in upper: they are read in any case.
type report struct {
	ID          text           `json:"id"`
	Arn         text           `json:"arn"`
	AccountID   text           `json:"accountId"`
	Region      text           `json:"region"`
	Type        text           `json:"type"`
	Title       text           `json:"title"`
	Description text           `json:"description"`
	Severity    inbound.Number `json:"severity"`
	CreatedAt   inbound.Time   `json:"createdAt"`
	UpdatedAt   inbound.Time   `json:"updatedAt"`
	Resource    resource       `json:"resource"`
	Service     struct {
		DetectorID text         `json:"detectorId"`
		Archived   bool         `json:"archived"`
		LastSeen   inbound.Time `json:"eventLastSeen"`
		Role       text         `json:"resourceRole"`
		Action     struct {
			Type text `json:"actionType"`
		} `json:"action"`
	} `json:"service"`
}

type tag struct {
	Key   text `json:"key"`
	Value text `json:"value"`
}

type resource struct {
	Type     text `json:"resourceType"`
	Instance struct {
		ID   text  `json:"instanceId"`
		Tags []tag `json:"tags"`
	} `json:"instanceDetails"`
	AccessKey struct {
		ID       text `json:"accessKeyId"`
		UserName text `json:"userName"`
		UserType text `json:"userType"`
	} `json:"accessKeyDetails"`
	Buckets []struct {
		Arn  text  `json:"arn"`
		Name text  `json:"name"`
		Tags []tag `json:"tags"`
	} `json:"s3BucketDetails"`
	EKS struct {
		Name text  `json:"name"`
		Arn  text  `json:"arn"`
		Tags []tag `json:"tags"`
	} `json:"eksClusterDetails"`
	ECS struct {
		Name text  `json:"name"`
		Arn  text  `json:"arn"`
		Tags []tag `json:"tags"`
	} `json:"ecsClusterDetails"`
	Lambda struct {
		Arn  text  `json:"functionArn"`
		Name text  `json:"functionName"`
		Tags []tag `json:"tags"`
	} `json:"lambdaDetails"`
	RDS struct {
		Arn  text  `json:"dbInstanceArn"`
		ID   text  `json:"dbInstanceIdentifier"`
		Tags []tag `json:"tags"`
	} `json:"rdsDbInstanceDetails"`
	Container struct {
		ID    text `json:"id"`
		Name  text `json:"name"`
		Image text `json:"image"`
	} `json:"containerDetails"`
}

func finding(piece inbound.Piece) ([]hub.Finding, error) {
	var r report
	if err := inbound.Decode(piece.Raw, &r, true); err != nil {
		return nil, err
	}
	if r.ID == "" || r.Type == "" {
		return nil, errors.New("id and type: are required in a finding of GuardDuty")
	}
	asset, id := r.asset()
	f := hub.Finding{
		SourceID: inbound.Key(string(r.AccountID), string(r.Region), string(r.ID)), Type: kind(string(r.Type), string(r.Resource.Type)),
		AssetID: id, Asset: asset, Severity: r.severity(), Status: hub.FindingOpen,
		Title: string(inbound.First(r.Title, r.Type)), Description: string(r.Description), ObservedAt: r.UpdatedAt.Time,
		Labels: map[string]string{"guardduty_type": string(r.Type)}, Payload: r.payload(), Raw: piece.Raw,
	}
	if r.Service.Archived {
		f.Status = hub.FindingResolved
	}
	if f.ObservedAt.IsZero() {
		f.ObservedAt = inbound.Latest(r.Service.LastSeen, r.CreatedAt)
	}
	return []hub.Finding{f}, nil
}

// severity: the bands that AWS names for its numbers from 1.0 to 10.0.
func (r *report) severity() hub.Severity {
	if !r.Severity.Given {
		return hub.Medium
	}
	return inbound.Score(r.Severity.Value)
}

// kind goes by the type, which is purpose:resource/family.mechanism!artifact.
func kind(name, resource string) string {
	purpose, rest, _ := strings.Cut(name, ":")
	switch {
	case strings.Contains(rest, "BruteForce"):
		return "brute_force"
	case purpose == "CryptoCurrency", purpose == "Trojan", purpose == "Backdoor", strings.Contains(rest, "Malicious") && purpose == "Execution":
		return "malware"
	case purpose == "Policy":
		return "policy"
	case purpose == "Recon", strings.Contains(rest, "Portscan"), strings.Contains(rest, "PortProbe"), strings.HasPrefix(rest, "EC2/Network"), strings.HasPrefix(rest, "EC2/TrafficVolume"):
		return "network"
	case strings.HasPrefix(rest, "IAMUser/"), resource == "AccessKey", purpose == "PrivilegeEscalation", purpose == "CredentialAccess":
		return "iam"
	}
	return "anomaly"
}

// asset gives what the finding is about, and its id.
func (r *report) asset() (*hub.Asset, string) {
	res := &r.Resource
	var id, name text
	var tags []tag
	switch {
	case res.Instance.ID != "":
		id, tags = res.Instance.ID, res.Instance.Tags
	case len(res.Buckets) > 0:
		b := res.Buckets[0]
		id, name, tags = inbound.First(b.Arn, b.Name), b.Name, b.Tags
	case res.EKS.Arn != "" || res.EKS.Name != "":
		id, name, tags = inbound.First(res.EKS.Arn, res.EKS.Name), res.EKS.Name, res.EKS.Tags
	case res.Lambda.Arn != "" || res.Lambda.Name != "":
		id, name, tags = inbound.First(res.Lambda.Arn, res.Lambda.Name), res.Lambda.Name, res.Lambda.Tags
	case res.RDS.Arn != "" || res.RDS.ID != "":
		id, name, tags = inbound.First(res.RDS.Arn, res.RDS.ID), res.RDS.ID, res.RDS.Tags
	case res.ECS.Arn != "" || res.ECS.Name != "":
		id, name, tags = inbound.First(res.ECS.Arn, res.ECS.Name), res.ECS.Name, res.ECS.Tags
	case res.Container.ID != "" || res.Container.Name != "":
		id, name = inbound.First(res.Container.ID, res.Container.Name), res.Container.Name
	case res.AccessKey.UserName != "" || res.AccessKey.ID != "":
		id, name = inbound.First(res.AccessKey.UserName, res.AccessKey.ID), res.AccessKey.UserName
	default:
		id = inbound.First(r.AccountID, "unknown")
	}
	a := &hub.Asset{Type: string(res.Type), Provider: "aws", Account: string(r.AccountID), Region: string(r.Region), Tags: map[string]string{}}
	for _, t := range tags {
		a.Tags[string(t.Key)] = string(t.Value)
	}
	a.Name = string(inbound.First(text(a.Tags["Name"]), name, id))
	return a, string(id)
}

// payload leaves out what grows while a finding goes on: counts, addresses and
// times of the latest events.
func (r *report) payload() jsontext.Value {
	return inbound.Object(map[string]any{
		"type": r.Type, "finding_id": r.ID, "arn": r.Arn, "detector_id": r.Service.DetectorID, "resource_type": r.Resource.Type,
		"resource_role": r.Service.Role, "action_type": r.Service.Action.Type, "container_image": r.Resource.Container.Image,
		"access_key_id": r.Resource.AccessKey.ID, "user_name": r.Resource.AccessKey.UserName, "user_type": r.Resource.AccessKey.UserType,
	})
}

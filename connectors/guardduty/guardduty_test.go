package guardduty

import (
	"flag"
	"fmt"
	"testing"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(read)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(read)) }

func TestGuarded(t *testing.T) {
	connectortest.Guarded(t, Kind(), "", []byte(`{"detail":{"id":"f","type":"Recon:EC2/Portscan"}}`), 1)
}

func one(t *testing.T, in string) hub.Finding {
	t.Helper()
	b, err := connectortest.Of(read)([]byte(in))
	if err != nil || len(b.Findings) != 1 {
		t.Fatalf("%s: %+v, %v", in, b, err)
	}
	return b.Findings[0]
}

func TestSeverity(t *testing.T) {
	for number, want := range map[string]hub.Severity{
		"10": hub.Critical, "9.0": hub.Critical, "8.9": hub.High, "7": hub.High, "6.9": hub.Medium, "4": hub.Medium, "3.9": hub.Low, "1": hub.Low, "0": hub.Info, `"8"`: hub.High, "null": hub.Medium,
	} {
		if got := one(t, fmt.Sprintf(`{"id":"f","type":"t","severity":%s}`, number)).Severity; got != want {
			t.Errorf("%s is %s, want %s", number, got, want)
		}
	}
}

func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"UnauthorizedAccess:EC2/SSHBruteForce": "brute_force", "CredentialAccess:RDS/AnomalousBehavior.SuccessfulBruteForce": "brute_force",
		"CryptoCurrency:EC2/BitcoinTool.B!DNS": "malware", "Execution:EC2/MaliciousFile": "malware", "Trojan:Runtime/DropPoint": "malware",
		"Policy:S3/BucketBlockPublicAccessDisabled": "policy", "Recon:EC2/PortProbeUnprotectedPort": "network", "Behavior:EC2/NetworkPortUnusual": "network",
		"Impact:EC2/PortSweep": "anomaly", "UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B": "iam", "PrivilegeEscalation:Kubernetes/PrivilegedContainer": "iam",
		"AttackSequence:IAM/CompromisedCredentials": "anomaly",
	} {
		if got := one(t, `{"id":"f","type":"`+name+`"}`).Type; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// A finding that goes on has a higher count and later times, and nothing else
// that would end an acknowledgement.
func TestAFindingThatGoesOn(t *testing.T) {
	const form = `{"accountId":"1","region":"r","id":"f","type":"Recon:EC2/Portscan","severity":5,"updatedAt":"2026-05-01T0%d:00:00Z","service":{"count":%d,"eventLastSeen":"2026-05-01T0%d:00:00Z","archived":%v}}`
	a, b, c := one(t, fmt.Sprintf(form, 1, 1, 1, false)), one(t, fmt.Sprintf(form, 2, 7, 2, false)), one(t, fmt.Sprintf(form, 3, 8, 3, true))
	if a.SourceID != b.SourceID || string(a.Payload) != string(b.Payload) || !b.ObservedAt.After(a.ObservedAt) {
		t.Errorf("%+v\n%+v", a, b)
	}
	if c.SourceID != a.SourceID || c.Status != hub.FindingResolved {
		t.Errorf("archived: %+v", c)
	}
}

package securityhub

import (
	"flag"
	"strings"
	"testing"

	"github.com/tocsin/tocsin/connectors/connectortest"
	"github.com/tocsin/tocsin/hub"
)

var update = flag.Bool("update", false, "write want.json of every case anew")

func TestCases(t *testing.T) { connectortest.Cases(t, *update, connectortest.Of(read)) }
func FuzzRead(f *testing.F)  { connectortest.Fuzz(f, connectortest.Of(read)) }

const base = `"Id":"f-1","ProductArn":"arn:aws:securityhub:eu-west-1::product/aws/x"`

func TestGuarded(t *testing.T) { connectortest.Guarded(t, Kind(), "", []byte("{"+base+"}"), 1) }

func one(t *testing.T, members string) hub.Finding {
	t.Helper()
	b, err := connectortest.Of(read)([]byte("{" + strings.TrimSuffix(base+","+members, ",") + "}"))
	if err != nil || len(b.Findings) != 1 {
		t.Fatalf("%s: %+v, %v", members, b, err)
	}
	return b.Findings[0]
}

func TestSeverity(t *testing.T) {
	for members, want := range map[string]hub.Severity{
		`"Severity":{"Label":"INFORMATIONAL","Normalized":90}`: hub.Info,
		`"Severity":{"Label":"LOW"}`:                           hub.Low,
		`"Severity":{"Label":"MEDIUM"}`:                        hub.Medium,
		`"Severity":{"Label":"HIGH"}`:                          hub.High,
		`"Severity":{"Label":"CRITICAL"}`:                      hub.Critical,
		`"Severity":{"Label":"DEFCON"}`:                        hub.High,
		`"Severity":{"Normalized":0}`:                          hub.Info,
		`"Severity":{"Normalized":1}`:                          hub.Low,
		`"Severity":{"Normalized":39}`:                         hub.Low,
		`"Severity":{"Normalized":40}`:                         hub.Medium,
		`"Severity":{"Normalized":69}`:                         hub.Medium,
		`"Severity":{"Normalized":70}`:                         hub.High,
		`"Severity":{"Normalized":"89"}`:                       hub.High,
		`"Severity":{"Normalized":90}`:                         hub.Critical,
		`"FindingProviderFields":{"Severity":{"Label":"LOW"}}`: hub.Low,
		`"Severity":{"Label":"HIGH"},"FindingProviderFields":{"Severity":{"Label":"LOW"}}`: hub.High,
		`"Severity":{"Original":"critical"}`:                                               hub.Critical,
		``:                                                                                 hub.Medium,
	} {
		if got := one(t, members).Severity; got != want {
			t.Errorf("%s is %s, want %s", members, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for members, want := range map[string]hub.FindingStatus{
		``: hub.FindingOpen,
		`"RecordState":"ACTIVE","Workflow":{"Status":"NEW"},"Compliance":{"Status":"FAILED"}`: hub.FindingOpen,
		`"Workflow":{"Status":"NOTIFIED"}`:        hub.FindingOpen,
		`"Compliance":{"Status":"WARNING"}`:       hub.FindingOpen,
		`"Compliance":{"Status":"NOT_AVAILABLE"}`: hub.FindingOpen,
		`"RecordState":"ARCHIVED"`:                hub.FindingResolved,
		`"Workflow":{"Status":"RESOLVED"}`:        hub.FindingResolved,
		`"Workflow":{"Status":"SUPPRESSED"}`:      hub.FindingResolved,
		`"Compliance":{"Status":"PASSED"}`:        hub.FindingResolved,
	} {
		if got := one(t, members).Status; got != want {
			t.Errorf("%s is %s, want %s", members, got, want)
		}
	}
}

func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"Software and Configuration Checks/Vulnerabilities/CVE":                                   "vulnerability",
		"Software and Configuration Checks/Industry and Regulatory Standards/CIS AWS Foundations": "compliance",
		"Software and Configuration Checks/AWS Security Best Practices":                           "misconfiguration",
		"Software and Configuration Checks/AWS Security Best Practices/Network Reachability":      "network",
		"TTPs/Initial Access/UnauthorizedAccess:EC2-SSHBruteForce":                                "brute_force",
		"TTPs/Command and Control/CryptoCurrency:EC2-BitcoinTool.B!DNS":                           "malware",
		"Effects/Data Exfiltration/UnauthorizedAccess:IAMUser-InstanceCredentialExfiltration":     "anomaly",
		"Unusual Behaviors/User/Policy:IAMUser-RootCredentialUsage":                               "iam",
		"Sensitive Data Identifications/PII":                                                      "policy",
		"Something new":                                                                           "custom",
	} {
		if got := one(t, `"Types":["`+name+`"]`).Type; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

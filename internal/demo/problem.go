package demo

import (
	"fmt"
	"math/rand/v2"
)

// problem makes up the first observation of a problem. Each serial number gives
// another problem.
func problem(serial int, r *rand.Rand) observation {
	o := problems[serial%len(problems)](serial, r)
	o.Severity = severityOf(r)
	switch serial % 3 { // the three kinds of identity
	case 0:
		o.SourceID = fmt.Sprintf("%s-%06d", o.Source, serial)
	case 1:
		o.DedupKey = fmt.Sprintf("%s/%s", o.Type, o.AssetID)
	}
	return o
}

// severityOf draws one in ten critical and two in ten high.
func severityOf(r *rand.Rand) string {
	return []string{"critical", "high", "high", "medium", "medium", "medium", "medium", "low", "low", "low"}[r.IntN(10)]
}

// accounts have a leading zero here and there, as real ones do.
var accounts = []string{"012345670123", "210987654321", "555000111222"}

// problems are the kinds of problem that are told of, each by the source that
// would see it.
var problems = []func(int, *rand.Rand) observation{
	func(n int, r *rand.Rand) observation {
		return observation{
			Type: "sql_injection", AssetID: fmt.Sprintf("shop-%03d.example.com", n), Title: "UNION SELECT in query string", Source: "waf",
			Asset:   &asset{Type: "web", Provider: "aws", Account: accounts[n%3], Region: "eu-central-1", Tags: map[string]string{"env": env(r)}},
			Payload: map[string]any{"rule": 942100, "method": "GET", "path": "/search?q=1%27+UNION+SELECT", "source_ip": ip(n)},
		}
	},
	func(n int, r *rand.Rand) observation {
		return observation{
			Type: "brute_force", AssetID: fmt.Sprintf("vpn-%02d", n), Title: "400 failed logins in five minutes", Source: "vpn-gateway",
			Payload: map[string]any{"user": fmt.Sprintf("user%d", r.IntN(900)), "source_ip": ip(n), "failures": 400},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "malware", AssetID: fmt.Sprintf("lap-finance-%03d", n), Title: "Trojan quarantined in Downloads", Source: "edr",
			Asset:   &asset{Type: "laptop"},
			Payload: map[string]any{"file": "invoice.pdf.exe", "sha256": fmt.Sprintf("%064x", n)},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "iam", AssetID: fmt.Sprintf("arn:aws:iam::%s:user/admin-%d", accounts[n%3], n), Title: "Console login as root without MFA", Source: "cloudtrail",
			Asset: &asset{Type: "identity", Provider: "aws", Account: accounts[n%3], Region: "us-east-1"}, RiskScore: 60 + float64(n%40),
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "misconfiguration", AssetID: fmt.Sprintf("arn:aws:s3:::backup-%03d", n), Title: "Bucket is readable by everyone", Source: "cspm",
			Asset: &asset{Type: "bucket", Provider: "aws", Account: accounts[n%3], Region: "eu-west-1"},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "vulnerability", AssetID: fmt.Sprintf("registry.example.com/api:%d", n), Title: "openssl: buffer overflow in X.509 verification", Source: "image-scan",
			Vulnerability: &vulnerability{CVE: fmt.Sprintf("CVE-2025-%04d", 1000+n), CVSS: 9.1, Package: "openssl", FixedVersion: "3.0.15"},
			Labels:        map[string]string{"team": []string{"platform", "payments"}[n%2]},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "compliance", AssetID: fmt.Sprintf("i-%017x", n), Title: "Root volume is not encrypted", Source: "cspm",
			Asset:      &asset{Type: "vm", Provider: "aws", Account: accounts[n%3], Region: "eu-west-1"},
			Compliance: &compliance{Framework: "CIS", Control: "2.2.1", Result: "fail"},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "network", AssetID: fmt.Sprintf("10.20.%d.%d", n/250, n%250), Title: "Beaconing to a known command server every 60 s", Source: "ndr",
			Labels: map[string]string{"mitre_technique": "T1071.001"}, Payload: map[string]any{"destination_ip": ip(n), "interval": 60},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "anomaly", AssetID: fmt.Sprintf("user/%d@example.com", n), Title: "Download volume far above the usual", Source: "ueba",
			RiskScore: 50 + float64(n%50), Labels: map[string]string{"crown_jewel": []string{"true", "false", "false"}[n%3]},
		}
	},
	func(n int, _ *rand.Rand) observation {
		return observation{
			Type: "policy", AssetID: fmt.Sprintf("prod/payments/deploy-%d", n), Title: "Privileged container admitted", Source: "kube-admission",
			Asset: &asset{Type: "workload", Provider: "kubernetes"},
		}
	},
}

func env(r *rand.Rand) string { return []string{"prod", "staging", "dev"}[r.IntN(3)] }

// ip gives an address of a range that is reserved for documentation.
func ip(n int) string { return fmt.Sprintf("203.0.113.%d", 1+n%250) }

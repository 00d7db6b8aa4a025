package hub

// A Severity says how bad a finding is.
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities lists every severity, worst first.
var Severities = [...]Severity{Critical, High, Medium, Low, Info}

// Rank orders severities: 5 for critical down to 1 for info, 0 for anything
// that is not a severity.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 5
	case High:
		return 4
	case Medium:
		return 3
	case Low:
		return 2
	case Info:
		return 1
	}
	return 0
}

// Valid reports whether s is a known severity.
func (s Severity) Valid() bool { return s.Rank() > 0 }

// FindingTypes lists what a finding may be about (contract §3).
var FindingTypes = [...]string{
	"xss", "csrf", "sql_injection", "brute_force", "malware", "vulnerability",
	"misconfiguration", "anomaly", "compliance", "iam", "billing", "network",
	"policy", "custom",
}

package playbook

import (
	"testing"
	"time"
)

// The example playbooks load, and their cases pass and are quick.
func TestExamples(t *testing.T) {
	report, err := RunCases(Builtin(), "../../configs/playbooks")
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed() > 0 || len(report.Untested) > 0 || report.Playbooks < 8 {
		t.Errorf("%s", &report)
	}
	if report.Took > time.Second {
		t.Errorf("took %v", report.Took)
	}
	t.Logf("%s", &report)
}

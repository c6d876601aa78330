package procfs

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// TestParseStatus: what cannot be read counts as everything.
func TestParseStatus(t *testing.T) {
	const none = "Name:\tnc\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\n"
	for status, want := range map[string]struct {
		caps   policy.Caps
		sealed bool
	}{
		none + "NoNewPrivs:\t1\n": {0, true},
		none + "NoNewPrivs:\t0\n": {0, false},
		none:                      {0, false},
		"CapInh:\t1\nCapPrm:\t2\nCapEff:\t4\nCapBnd:\t8\nCapAmb:\t10\n": {0x1f, false},
		"": {policy.AllCaps, false},
		"CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nNoNewPrivs:\t1\n":                {policy.AllCaps, true},
		"CapInh:\t0\nCapPrm:\tzero\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\n": {policy.AllCaps, true},
	} {
		if p := parseStatus([]byte(status)); p.Caps != want.caps || p.Sealed != want.sealed {
			t.Errorf("%q: %+v", status, p)
		}
	}
}

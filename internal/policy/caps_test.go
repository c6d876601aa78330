package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

func TestCaps(t *testing.T) {
	for value, want := range map[string][]string{
		"none":                                 {},
		"NET_BIND_SERVICE":                     {"CAP_NET_BIND_SERVICE"},
		"cap_kill, CHOWN":                      {"CAP_CHOWN", "CAP_KILL"},
		"CHECKPOINT_RESTORE,CHOWN,BPF,NET_RAW": {"CAP_CHOWN", "CAP_NET_RAW", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"},
	} {
		p, err := policy.Parse(with(policy.KeyCaps, value))
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if diff := cmp.Diff(want, p.Caps.Names()); diff != "" {
			t.Errorf("%s: %s", value, diff)
		}
		var again policy.Caps
		if text, err := p.Caps.MarshalText(); err != nil || again.UnmarshalText(text) != nil || again != p.Caps {
			t.Errorf("%s: %s comes back as %s", value, text, again)
		}
	}
	for value, reason := range map[string]string{
		"NET_ADMIN,,KILL": "the list has an empty item",
		"KILL,CAP_KILL":   "given twice",
		"ALL":             "there is no word for all: name those that the servers need",
		"CAP_41":          "no capability of Linux",
	} {
		_, err := policy.Parse(with(policy.KeyCaps, value))
		if got := refusals(t, err); len(got) != 1 || got[0].Reason != reason {
			t.Errorf("%s: %v", value, got)
		}
	}
}

// TestCapNumbers holds some names to linux/capability.h.
func TestCapNumbers(t *testing.T) {
	for name, number := range map[string]int{"CHOWN": 0, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "SYS_ADMIN": 21, "SETFCAP": 31, "CHECKPOINT_RESTORE": 40} {
		if c, ok := policy.Cap(name); !ok || c != 1<<number {
			t.Errorf("%s is %b", name, c)
		}
	}
	if names := policy.Caps(1 << 50).Names(); names[0] != "CAP_50" {
		t.Errorf("a capability without a name: %v", names)
	}
}

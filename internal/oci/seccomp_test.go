package oci_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
)

const (
	allowed = "SCMP_ACT_ALLOW"
	refused = "SCMP_ACT_ERRNO"
)

// profiles are what engines give (Docker 20.10 and 28.5, Podman), and what users write.
var profiles = map[string]string{
	"none":          ``,
	"null":          `null`,
	"unconfined":    `{"defaultAction":"SCMP_ACT_ALLOW"}`,
	"logging":       `{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["socket","read"],"action":"SCMP_ACT_ALLOW"}]}`,
	"unconditional": `{"defaultAction":"SCMP_ACT_ERRNO","x":{"y":1},"syscalls":[{"names":["read","socket","socketpair","socketcall","io_uring_setup"],"action":"SCMP_ACT_ALLOW","x-note":"kept"}]}`,
	"vsock denied":  `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[{"names":["socketpair"],"action":"SCMP_ACT_ALLOW"},{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}]}`,
	"podman": `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[{"names":["socketcall","socketpair"],"action":"SCMP_ACT_ALLOW","args":[]},
{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":16,"op":"SCMP_CMP_EQ"},{"index":2,"value":9,"op":"SCMP_CMP_EQ"}],"errnoRet":22},
{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":2,"value":9,"op":"SCMP_CMP_NE"}]},
{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":16,"op":"SCMP_CMP_NE"}]}]}`,
	"narrower": `{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}`,
	"either":   `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"},{"index":0,"value":40,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]}`,
	"notified": `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socket"],"action":"SCMP_ACT_NOTIFY"},{"names":["socketcall"],"action":"SCMP_ACT_TRACE"}]}`,
	"denied":   `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ERRNO"},{"names":["io_uring_setup"],"action":"SCMP_ACT_ERRNO"}]}`,
}

func withProfile(profile string) string {
	if profile == "" {
		return bundle
	}
	return strings.Replace(bundle, `"linux":{`, `"linux":{"seccomp":`+profile+`,`, 1)
}

// confined hardens a bundle with a profile, and gives the profile that comes out of it.
func confined(t *testing.T, profile string) specs.LinuxSeccomp {
	t.Helper()
	d := parse(t, withProfile(profile))
	if err := d.Harden(policy.DefaultCaps); err != nil {
		t.Fatal(err)
	}
	return profileOf(t, d)
}

func profileOf(t *testing.T, d *oci.Document) specs.LinuxSeccomp {
	t.Helper()
	data, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	if spec.Linux == nil || spec.Linux.Seccomp == nil {
		return specs.LinuxSeccomp{DefaultAction: allowed}
	}
	return *spec.Linux.Seccomp
}

// decides is what a filter of runc's makes of a call: an unconditional rule counts for more than others, and of those
// any that lets the call pass. Rules that do what the profile does anyway are left out.
func decides(p specs.LinuxSeccomp, call string, args ...uint64) specs.LinuxSeccompAction {
	passes := func(a specs.LinuxSeccompAction) bool {
		return !strings.HasPrefix(string(a), "SCMP_ACT_KILL") && a != refused
	}
	var unconditional, conditional []specs.LinuxSeccompAction
	for _, rule := range p.Syscalls {
		if !slices.Contains(rule.Names, call) {
			continue
		}
		indexes, anyHolds, allHold := map[uint]int{}, false, true
		for _, c := range rule.Args {
			indexes[c.Index]++
			holds := matches(c, args)
			anyHolds, allHold = anyHolds || holds, allHold && holds
		}
		switch {
		case len(rule.Args) == 0:
			unconditional = append(unconditional, rule.Action)
		case len(indexes) < len(rule.Args) && anyHolds || len(indexes) == len(rule.Args) && allHold:
			conditional = append(conditional, rule.Action)
		}
	}
	decided := append(unconditional, conditional...)
	if len(unconditional) > 0 {
		decided = unconditional
	}
	for _, a := range decided {
		if passes(a) {
			return allowed
		}
	}
	if len(decided) > 0 || !passes(p.DefaultAction) {
		return refused
	}
	return allowed
}

func matches(c specs.LinuxSeccompArg, args []uint64) bool {
	value := uint64(0)
	if int(c.Index) < len(args) {
		value = args[c.Index]
	}
	switch c.Op {
	case specs.OpEqualTo:
		return value == c.Value
	case specs.OpNotEqual:
		return value != c.Value
	case specs.OpMaskedEqual:
		return value&c.Value == c.ValueTwo
	}
	panic("no such condition in these tests: " + c.Op)
}

// TestBrokenProfile: nothing starts under a profile that cannot be read.
func TestBrokenProfile(t *testing.T) {
	for _, profile := range []string{`7`, `{"defaultAction":7}`, `{"defaultErrnoRet":"x"}`, `{"syscalls":7}`, `{"syscalls":[7]}`} {
		if err := parse(t, withProfile(profile)).Harden(0); err == nil {
			t.Errorf("%s is hardened", profile)
		}
	}
}

// TestSockets: whatever profile there is, sockets of the families that a network namespace confines can be made as
// before, and no others, however the family is written.
func TestSockets(t *testing.T) {
	usual := []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}
	for name, profile := range profiles {
		before, after := profileOf(t, parse(t, withProfile(profile))), confined(t, profile)
		for family := uint64(0); family < 300; family++ {
			for _, high := range []uint64{0, 1 << 32, 0xffffffff << 32, 1 << 31} {
				for _, call := range []string{"socket", "socketpair"} {
					args := []uint64{family | high, 2, 0}
					want := specs.LinuxSeccompAction(refused)
					if slices.Contains(usual, family) && high != 1<<31 && decides(before, call, args...) == allowed {
						want = allowed
					}
					got := decides(after, call, args...)
					if got != want && !(high>>32 != 0 && got == refused) { // stricter about what no program writes
						t.Errorf("%s: %s(%#x): %s, want %s", name, call, family|high, got, want)
					}
				}
			}
		}
		for _, call := range []string{"socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"} {
			if got := decides(after, call, 1); got != refused {
				t.Errorf("%s: %s: %s", name, call, got)
			}
		}
		if decides(before, "read") != decides(after, "read") {
			t.Errorf("%s: another call is decided otherwise", name)
		}
	}
	// The control: these let a socket of another family through as they were.
	for _, name := range []string{"none", "null", "unconfined", "logging", "unconditional", "podman", "either", "notified"} {
		if decides(profileOf(t, parse(t, withProfile(profiles[name]))), "socket", unix.AF_VSOCK, 1, 0) != allowed {
			t.Errorf("%s: refuses AF_VSOCK without mcpnet: this shows nothing", name)
		}
	}
}

// TestSocketsKeep: what the profile says of other things stays as it is written.
func TestSocketsKeep(t *testing.T) {
	d := parse(t, withProfile(profiles["unconditional"]))
	if err := d.Harden(policy.DefaultCaps); err != nil {
		t.Fatal(err)
	}
	seccomp := decoded(t, d)["linux"].(map[string]any)["seccomp"].(map[string]any)
	if got := fmt.Sprint(seccomp["x"]); got != "map[y:1]" {
		t.Error(got)
	}
	first := seccomp["syscalls"].([]any)[1].(map[string]any)
	if fmt.Sprintf("%v %v", first["names"], first["x-note"]) != "[read] kept" {
		t.Errorf("%v", first)
	}
	for _, broken := range []string{`7`, `{"defaultAction":7}`, `{"syscalls":{}}`, `{"syscalls":[7]}`, `{"syscalls":[{"names":"socket"}]}`} {
		if err := parse(t, withProfile(broken)).Harden(0); err == nil || !strings.Contains(err.Error(), "seccomp") {
			t.Errorf("%s: %v", broken, err)
		}
	}
}

// FuzzSockets: no profile lets a socket of another family through once it is confined, and none lets more through.
func FuzzSockets(f *testing.F) {
	for _, profile := range profiles {
		f.Add(profile, uint64(unix.AF_VSOCK), uint64(1))
	}
	f.Fuzz(func(t *testing.T, profile string, family, kind uint64) {
		d, err := oci.Parse("test", []byte(withProfile(profile)))
		if err != nil || !understood(profile) {
			return
		}
		before := profileOf(t, d)
		if d.Harden(0) != nil {
			return
		}
		after := profileOf(t, d)
		usual := slices.Contains([]uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}, family&0xffffffff)
		for _, call := range []string{"socket", "socketpair"} {
			got := decides(after, call, family, kind, 0)
			if got == allowed && (!usual || decides(before, call, family, kind, 0) != allowed) {
				t.Errorf("%s: %s(%#x) is let through", profile, call, family)
			}
		}
	})
}

// understood keeps the fuzzer to conditions that decides knows.
func understood(profile string) bool {
	var p *specs.LinuxSeccomp
	if json.Unmarshal([]byte(profile), &p) != nil || p == nil {
		return false
	}
	for _, s := range p.Syscalls {
		for _, c := range s.Args {
			if !slices.Contains([]specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpMaskedEqual}, c.Op) {
				return false
			}
		}
	}
	return true
}

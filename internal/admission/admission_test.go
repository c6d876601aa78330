package admission_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func TestJudge(t *testing.T) {
	hard := admission.Record{CapDrop: []string{"all"}, SecurityOpt: []string{"no-new-privileges"},
		MaskedPaths: []string{"/proc/kcore", "/proc/keys"}, ReadonlyPaths: []string{"/proc/sys", "/proc/sysrq-trigger"}}
	with := func(change func(*admission.Record)) *admission.Record {
		r := hard
		change(&r)
		return &r
	}
	raw, _ := policy.Cap("NET_RAW")
	bind := policy.DefaultCaps
	for name, tt := range map[string]struct {
		evidence admission.Evidence
		state    topology.AdmissionState
		says     string
		wayOut   bool
	}{
		"nothing known":       {admission.Evidence{}, topology.AdmissionWaiting, "", false},
		"attested":            {admission.Evidence{Attested: &bind}, topology.Conforms, "", false},
		"attested with more":  {admission.Evidence{Attested: &raw}, topology.AdmissionWaiting, "", false},
		"attested, two doors": {admission.Evidence{Attested: &bind, Networks: []string{"bridge"}}, topology.Violates, "also on bridge", true},
		"attested, shared":    {admission.Evidence{Attested: &bind, Sharers: []admission.Sharer{{Namespace: "network", Container: "spy"}}}, topology.Violates, "also that of spy", true},
		"plain":               {admission.Evidence{Record: with(func(r *admission.Record) { r.CapDrop, r.SecurityOpt = nil, nil })}, topology.Violates, "--cap-drop ALL --cap-add NET_BIND_SERVICE --security-opt no-new-privileges", false},
		"hard":                {admission.Evidence{Record: &hard}, topology.Conforms, "", false},
		"hard, NNP off":       {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges=false"} })}, topology.Violates, "may gain privileges", false},
		"NNP on, then off":    {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges", "no-new-privileges=0"} })}, topology.Violates, "may gain privileges", false},
		"NNP off, then on":    {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges:false", "no-new-privileges=1"} })}, topology.Conforms, "", false},
		"other's processes":   {admission.Evidence{Record: with(func(r *admission.Record) { r.PID = "container:0123" })}, topology.Violates, "--pid container:0123", true},
		"permitted added":     {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"cap_net_bind_service"} })}, topology.Conforms, "", false},
		"one more":            {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"NET_ADMIN"} })}, topology.Violates, "holds NET_ADMIN", true},
		"all but one":         {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd, r.CapDrop = []string{"ALL"}, []string{"KILL"} })}, topology.Violates, "CHOWN", true},
		"unknown added":       {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"FROM_THE_FUTURE"} })}, topology.Violates, "SYS_ADMIN", true},
		"privileged":          {admission.Evidence{Record: with(func(r *admission.Record) { r.Privileged = true })}, topology.Violates, "is privileged", true},
		"host's processes":    {admission.Evidence{Record: with(func(r *admission.Record) { r.PID = "host" })}, topology.Violates, "--pid host", true},
		"host's name":         {admission.Evidence{Record: with(func(r *admission.Record) { r.UTS = "host" })}, topology.Violates, "--uts host", true},
		"other's memory":      {admission.Evidence{Record: with(func(r *admission.Record) { r.IPC = "container:0123" })}, topology.Violates, "--ipc container:0123", true},
		"memory for others":   {admission.Evidence{Record: with(func(r *admission.Record) { r.IPC = "shareable" })}, topology.Conforms, "", false},
		"ptrace":              {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"SYS_PTRACE", "CHOWN"} })}, topology.Violates, "holds SYS_PTRACE, a way out", true},
		"joined":              {admission.Evidence{Record: &hard, Sharers: []admission.Sharer{{Namespace: "pid", Container: "spy"}}}, topology.Violates, "its pid namespace is also that of spy", true},
		"masked by default":   {admission.Evidence{Record: with(func(r *admission.Record) { r.MaskedPaths, r.ReadonlyPaths = nil, nil })}, topology.Conforms, "", false},
		"visible /proc/kcore": {admission.Evidence{Record: with(func(r *admission.Record) { r.MaskedPaths = []string{"/proc/keys"} })}, topology.Violates, "/proc/kcore", true},
		"unmasked":            {admission.Evidence{Record: with(func(r *admission.Record) { r.MaskedPaths, r.ReadonlyPaths = []string{}, []string{} })}, topology.Violates, "systempaths", true},
		"writable /proc/sys":  {admission.Evidence{Record: with(func(r *admission.Record) { r.ReadonlyPaths = []string{"/proc/sysrq-trigger"} })}, topology.Violates, "/proc/sys unprotected", true},
		"engine's socket":     {admission.Evidence{Record: with(func(r *admission.Record) { r.Mounts = []admission.Mount{{Source: "/var/run/docker.sock"}} })}, topology.Violates, "Docker's socket", true},
		"a volume":            {admission.Evidence{Record: with(func(r *admission.Record) { r.Mounts = []admission.Mount{{Source: "/srv/data"}, {}} })}, topology.Conforms, "", false},
		"programs to write":   {admission.Evidence{Record: with(func(r *admission.Record) { r.Mounts = []admission.Mount{{Source: "/usr/local/bin"}} })}, topology.Violates, "the host's programs (mount it read-only)", true},
		"programs to read":    {admission.Evidence{Record: with(func(r *admission.Record) { r.Mounts = []admission.Mount{{Source: "/usr/local/bin", ReadOnly: true}} })}, topology.Conforms, "", false},
		"a disk":              {admission.Evidence{Record: with(func(r *admission.Record) { r.Devices = []string{"/dev/sda"} })}, topology.Violates, "a disk of the host", true},
		"all disks":           {admission.Evidence{Record: with(func(r *admission.Record) { r.DeviceRules = []string{"b *:* rmw"} })}, topology.Violates, "every device", true},
		// The runtime speaks of capabilities alone.
		"attested, other's processes": {admission.Evidence{Attested: &bind, Record: with(func(r *admission.Record) { r.PID = "container:0123" })}, topology.Violates, "--pid container:0123", true},
		"attested, other's memory":    {admission.Evidence{Attested: &bind, Record: with(func(r *admission.Record) { r.IPC = "container:0123" })}, topology.Violates, "--ipc container:0123", true},
		"attested, unmasked":          {admission.Evidence{Attested: &bind, Record: with(func(r *admission.Record) { r.MaskedPaths, r.ReadonlyPaths = []string{}, []string{} })}, topology.Violates, "systempaths", true},
		"attested, socket":            {admission.Evidence{Attested: &bind, Record: with(func(r *admission.Record) { r.Mounts = []admission.Mount{{Source: "/run/docker.sock"}} })}, topology.Violates, "Docker's socket", true},
		"attested, joined":            {admission.Evidence{Attested: &bind, Sharers: []admission.Sharer{{Namespace: "pid", Container: "spy"}}}, topology.Violates, "spy", true},
		"attested, caps added":        {admission.Evidence{Attested: &bind, Record: with(func(r *admission.Record) { r.CapAdd = []string{"NET_ADMIN"} })}, topology.Conforms, "", false},
		"attested with more, record":  {admission.Evidence{Attested: &raw, Record: with(func(r *admission.Record) { r.CapAdd = []string{"NET_RAW"} })}, topology.Violates, "holds NET_RAW", false},
	} {
		a := tt.evidence.Judge(policy.DefaultCaps)
		if a.State != tt.state || !strings.Contains(a.Reason, tt.says) || a.WayOut != tt.wayOut {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestWaysOutFirst: a reason names first what the wire is cut for.
func TestWaysOutFirst(t *testing.T) {
	r := admission.Record{PID: "host", MaskedPaths: []string{"/proc"}}
	if a := (admission.Evidence{Record: &r}).Judge(0); !strings.HasPrefix(a.Reason, "shares a namespace") || !strings.Contains(a.Reason, "; holds CHOWN") || !a.WayOut {
		t.Errorf("%+v", a)
	}
	if a := admission.Verdict("test", nil); a.State != topology.Conforms || a.WayOut {
		t.Errorf("nothing against it: %+v", a)
	}
}

func TestProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		process admission.Process
		says    string
		wayOut  bool
	}{
		"hard":           {admission.Process{Caps: policy.DefaultCaps, Sealed: true}, "", false},
		"nothing":        {admission.Process{Sealed: true}, "", false},
		"not sealed":     {admission.Process{}, "no_new_privileges", false},
		"more":           {admission.Process{PID: 7, Name: "nc", Caps: 1 << 13, Sealed: true}, "process 7 (nc) holds NET_RAW", false},
		"a way out":      {admission.Process{PID: 7, Name: "ip", Caps: 1 << 12, Sealed: true}, "process 7 (ip) holds NET_ADMIN, a way out", true},
		"everything":     {admission.Process{Caps: 1<<41 - 1, Sealed: true}, "more", true},
		"from tomorrow":  {admission.Process{Caps: 1 << 50, Sealed: true}, "holds 50, a way out", true},
		"in its own":     {admission.Process{Caps: 1<<41 - 1, Sealed: true, Nested: true}, "and 34 more", false},
		"host's":         {admission.Process{PID: 7, Name: "sh", Sealed: true, Hosts: []string{"pid", "ipc"}}, "process 7 (sh) shares the host's pid and ipc namespace", true},
		"somewhere else": {admission.Process{PID: 7, Name: "sh", Elsewhere: []string{"pid"}}, "process 7 (sh), which is on another network, is in its pid namespace", true},
	} {
		a := admission.Verdict("test", tt.process.Problems(policy.DefaultCaps))
		if !strings.Contains(a.Reason, tt.says) || (a.Reason == "") != (tt.says == "") || a.WayOut != tt.wayOut {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestOutlets: one wire leads to one network, and nothing else leads out.
func TestOutlets(t *testing.T) {
	for says, problems := range map[string][]admission.Problem{
		"has another way out: eth1, wg0": admission.Outlets([]string{"eth1", "wg0"}, 1),
		"is on 2 mcpnet networks":        admission.Outlets(nil, 2),
	} {
		if a := admission.Verdict("test", problems); a.Reason != says || !a.WayOut {
			t.Errorf("%+v, want %q", a, says)
		}
	}
	if problems := admission.Outlets(nil, 1); len(problems) > 0 {
		t.Errorf("one endpoint: %v", problems)
	}
}

package admission_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func TestJudge(t *testing.T) {
	hard := admission.Record{CapDrop: []string{"all"}, SecurityOpt: []string{"no-new-privileges"}}
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
	}{
		"nothing known":       {admission.Evidence{}, topology.AdmissionWaiting, ""},
		"attested":            {admission.Evidence{Attested: &bind}, topology.Conforms, ""},
		"attested with more":  {admission.Evidence{Attested: &raw}, topology.AdmissionWaiting, ""},
		"attested, two doors": {admission.Evidence{Attested: &bind, Networks: []string{"bridge"}}, topology.Violates, "also on bridge"},
		"attested, shared":    {admission.Evidence{Attested: &bind, Sharers: []string{"spy"}}, topology.Violates, "also that of spy"},
		"plain":               {admission.Evidence{Record: &admission.Record{}}, topology.Violates, "--cap-drop ALL --cap-add NET_BIND_SERVICE --security-opt no-new-privileges"},
		"hard":                {admission.Evidence{Record: &hard}, topology.Conforms, ""},
		"hard, NNP off":       {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges=false"} })}, topology.Violates, "may gain privileges"},
		"NNP on, then off":    {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges", "no-new-privileges=0"} })}, topology.Violates, "may gain privileges"},
		"NNP off, then on":    {admission.Evidence{Record: with(func(r *admission.Record) { r.SecurityOpt = []string{"no-new-privileges:false", "no-new-privileges=1"} })}, topology.Conforms, ""},
		"other's processes":   {admission.Evidence{Record: with(func(r *admission.Record) { r.PID = "container:0123" })}, topology.Violates, "--pid container:0123"},
		"permitted added":     {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"cap_net_bind_service"} })}, topology.Conforms, ""},
		"one more":            {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"NET_ADMIN"} })}, topology.Violates, "holds NET_ADMIN"},
		"all but one":         {admission.Evidence{Record: &admission.Record{CapAdd: []string{"ALL"}, CapDrop: []string{"KILL"}}}, topology.Violates, "CHOWN"},
		"unknown added":       {admission.Evidence{Record: with(func(r *admission.Record) { r.CapAdd = []string{"FROM_THE_FUTURE"} })}, topology.Violates, "SYS_ADMIN"},
		"privileged":          {admission.Evidence{Record: with(func(r *admission.Record) { r.Privileged = true })}, topology.Violates, "is privileged"},
		"host's processes":    {admission.Evidence{Record: with(func(r *admission.Record) { r.PID = "host" })}, topology.Violates, "--pid host"},
	} {
		a := tt.evidence.Judge(policy.DefaultCaps)
		if a.State != tt.state || !strings.Contains(a.Reason, tt.says) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		process admission.Process
		says    string
	}{
		"hard":       {admission.Process{Caps: policy.DefaultCaps, Sealed: true}, ""},
		"nothing":    {admission.Process{Sealed: true}, ""},
		"not sealed": {admission.Process{}, "no_new_privileges"},
		"more":       {admission.Process{PID: 7, Name: "nc", Caps: 1 << 13, Sealed: true}, "process 7 (nc) holds NET_RAW"},
		"everything": {admission.Process{Caps: 1<<41 - 1, Sealed: true}, "and 34 more"},
	} {
		if got := tt.process.Problem(policy.DefaultCaps); !strings.Contains(got, tt.says) || (got == "") != (tt.says == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

package report_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/report"
)

func endpoint(name, role, address string) report.Endpoint {
	return report.Endpoint{ID: "0123456789abcdef", Container: name, Role: role, Address: address, State: report.StateUp}
}

func violating(name, reason string, wayOut, quarantined bool) report.Endpoint {
	e := endpoint(name, "server", "172.20.240.1")
	e.Admission = report.Admission{State: "violates", Reason: reason, WayOut: wayOut}
	e.Quarantined = quarantined
	return e
}

// TestJudge: what a user has to know is a finding, each reason once, and what does not work is a failure.
func TestJudge(t *testing.T) {
	gateway, server := endpoint("gateway", "gateway", "172.20.0.100"), endpoint("server", "server", "172.20.240.1")
	held, candidate := server, endpoint("thief", "candidate", "172.20.0.100")
	held.Quarantined, candidate.Reason = true, "nothing shows that it was asked for"
	ended := violating("ended", "holds all", true, true)
	ended.State = report.StateEnded
	whole := report.Judged{Gateways: []string{"172.20.0.100"}, Ask: "--ip 172.20.0.100", CapsMode: "guard", Watched: true}
	with := func(change func(*report.Judged)) report.Judged {
		j := whole
		change(&j)
		return j
	}
	unwatched := with(func(j *report.Judged) { j.Watched = false })
	for name, c := range map[string]struct {
		endpoints []report.Endpoint
		judged    report.Judged
		want      []string
	}{
		"in order":              {[]report.Endpoint{gateway, server, ended}, whole, nil},
		"nothing yet":           {nil, unwatched, nil},
		"no gateway, no server": {[]report.Endpoint{}, whole, nil},
		"no gateway":            {[]report.Endpoint{server}, whole, []string{"failure no-gateway no gateway is attached at 172.20.0.100: 1 server reach nothing"}},
		"one gateway of two":    {[]report.Endpoint{gateway, server}, with(func(j *report.Judged) { j.Gateways = append(j.Gateways, "172.20.0.101") }), []string{"warning no-gateway gateway 172.20.0.101 is not attached"}},
		"a candidate is none":   {[]report.Endpoint{candidate, server}, whole, []string{"failure no-gateway", "failure endpoint-quarantined thief in quarantine: nothing shows"}},
		"egress":                {[]report.Endpoint{gateway}, with(func(j *report.Judged) { j.Missing = []string{"host: net.ipv4.ip_forward=1"} }), []string{"failure egress-dead gateways reach nothing beyond their network, which lacks: host: net.ipv4.ip_forward=1"}},
		"nobody for egress":     {[]report.Endpoint{}, with(func(j *report.Judged) { j.Missing = []string{"uplink"} }), nil},
		"held":                  {[]report.Endpoint{gateway, held}, whole, []string{"failure no-evidence server held: nothing passes"}},
		"one reason":            {[]report.Endpoint{gateway, violating("a", "is privileged", true, true), violating("b", "is privileged", true, true)}, whole, []string{"failure endpoint-quarantined a, b in quarantine: is privileged"}},
		"two reasons":           {[]report.Endpoint{gateway, violating("a", "is privileged", true, true), violating("b", "is also on out", true, true)}, whole, []string{"failure endpoint-quarantined a in", "failure endpoint-quarantined b in"}},
		"a way out":             {[]report.Endpoint{gateway, violating("a", "is also on out", true, false)}, whole, []string{"failure way-out a with a way past the network: is also on out"}},
		"capabilities":          {[]report.Endpoint{gateway, violating("a", "holds CAP_NET_RAW", false, false)}, whole, []string{"warning capabilities-excess a beyond mcpnet.caps"}},
		"nobody watches":        {[]report.Endpoint{gateway, server}, unwatched, []string{"failure nobody-watches nobody watches: mcpnet.caps.mode=guard"}},
		"nobody has to":         {[]report.Endpoint{gateway, server}, with(func(j *report.Judged) { j.Watched, j.CapsMode = false, "off" }), nil},
		"no port":               {[]report.Endpoint{gateway}, with(func(j *report.Judged) { j.Unpublished = []string{"8080:8080"} }), []string{"warning published-port published ports of a gateway lead nowhere: 8080:8080"}},
		"many":                  {[]report.Endpoint{gateway, violating("a", "x", true, true), violating("b", "x", true, true), violating("c", "x", true, true), violating("d", "x", true, true), violating("e", "x", true, true), violating("f", "x", true, true)}, whole, []string{"failure endpoint-quarantined a, b, c, d, e and 1 more in quarantine: x"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := report.Network{ID: "n", Name: "mcp", Uplink: "mcp", Endpoints: c.endpoints}
			var got []string
			for _, f := range n.Judge(c.judged) {
				if f.Object != "network mcp" {
					t.Errorf("about %q", f.Object)
				}
				got = append(got, string(f.Severity)+" "+string(f.Code)+" "+f.Meaning)
			}
			cut := func(got, want []string) bool {
				for i := range want {
					if len(got) != len(want) || !strings.HasPrefix(got[i], want[i]) {
						return false
					}
				}
				return len(got) == len(want)
			}
			if !cut(got, c.want) {
				t.Error(cmp.Diff(c.want, got))
			}
		})
	}
}

// TestDisplayName: an id is for programs; a person is shown a name where one is known.
func TestDisplayName(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for want, e := range map[string]report.Endpoint{
		"server":                {ID: id, Container: "server"},
		"0123456789ab":          {ID: id, Container: id},
		"default/pod":           {ID: id, Container: id, Name: "default/pod"},
		"endpoint 0123456789ab": {ID: id},
	} {
		if got := e.DisplayName(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

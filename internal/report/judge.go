package report

import (
	"fmt"
	"slices"
	"strings"
)

// Judged is what is known of a network beside what status shows of it.
type Judged struct {
	Gateways []string // the addresses of the policy's gateways
	Ask      string   // how a container asks for one of them, on the network's surface
	CapsMode string
	Watched  bool     // somebody looks at containers
	Missing  []string // what its way beyond lacks
	// Unpublished are the ports that gateways were to publish and that nobody does.
	Unpublished []string
}

// The roles and states that a judgement goes by, as status shows them.
const (
	roleServer    = "server"
	roleGateway   = "gateway"
	roleCandidate = "candidate"
	violates      = "violates"
)

// Judge finds what of a network does not work, or is not known. Each reason stands once, with everybody whom it is
// about.
func (n Network) Judge(j Judged) []Finding {
	return slices.Concat(n.gatewayFindings(j), n.egressFindings(j), n.portFindings(j), n.containerFindings(j), n.watchFindings(j))
}

func (n Network) finding(code Code, severity Severity, meaning, remedy string) Finding {
	return Finding{Code: code, Severity: severity, Object: "network " + n.DisplayName(), Meaning: meaning, Remedy: remedy}
}

// gatewayFindings tell of gateways that servers wait for.
func (n Network) gatewayFindings(j Judged) (out []Finding) {
	servers := n.living(roleServer)
	if len(servers) == 0 {
		return nil
	}
	attached := n.living(roleGateway)
	for _, address := range j.Gateways {
		if slices.ContainsFunc(attached, func(e Endpoint) bool { return e.Address == address }) {
			continue
		}
		severity, meaning := Warning, fmt.Sprintf("gateway %s is not attached", address)
		if len(attached) == 0 {
			severity, meaning = Failure, fmt.Sprintf("no gateway is attached at %s: %s reach nothing", address, count(len(servers), "server"))
		}
		out = append(out, n.finding(CodeNoGateway, severity, meaning,
			"a container is a gateway by its address: start it with "+j.Ask+"; one that was started without is a server"))
	}
	return out
}

// living are the endpoints of a role that are attached.
func (n Network) living(role string) (out []Endpoint) {
	for _, e := range n.Endpoints {
		if e.Role == role && (e.State == StateUp || e.State == StateUnguarded) {
			out = append(out, e)
		}
	}
	return out
}

// egressFindings tell of gateways that reach nothing beyond their network, although the policy lets them.
func (n Network) egressFindings(j Judged) []Finding {
	if n.Uplink == "" || len(j.Missing) == 0 || len(n.living(roleGateway)) == 0 {
		return nil
	}
	return []Finding{n.finding(CodeEgress, Failure, "gateways reach nothing beyond their network, which lacks: "+strings.Join(j.Missing, "; "),
		"mcpnet's resident process does that by itself; if it stays, its log says why")}
}

// portFindings tell of published ports that lead nowhere.
func (n Network) portFindings(j Judged) []Finding {
	if len(j.Unpublished) == 0 {
		return nil
	}
	return []Finding{n.finding(CodePort, Warning, "published ports of a gateway lead nowhere: "+strings.Join(j.Unpublished, ", "),
		"mcpnet publishes them on Docker, for a gateway with mcpnet.gateway.egress, over which its default route leads; "+
			"otherwise give it a second network where the engine publishes, such as docker network connect bridge NAME")}
}

// containerFindings tell of containers that do not conform, or of which nothing is known.
func (n Network) containerFindings(j Judged) []Finding {
	var found groups
	for _, e := range n.Endpoints {
		if e.State == StateEnded || e.State == StateGone {
			continue
		}
		found.add(e, j.CapsMode)
	}
	var out []Finding
	for _, g := range found {
		out = append(out, n.finding(g.code, g.severity, names(g.names)+" "+g.meaning, ""))
	}
	return out
}

// group is those of whom the same holds.
type group struct {
	code     Code
	severity Severity
	meaning  string
	names    []string
}

type groups []group

func (all *groups) add(e Endpoint, mode string) {
	g, ok := groupOf(e, mode)
	if !ok {
		return
	}
	i := slices.IndexFunc(*all, func(o group) bool { return o.code == g.code && o.meaning == g.meaning })
	if i < 0 {
		*all, i = append(*all, g), len(*all)
	}
	(*all)[i].names = append((*all)[i].names, e.DisplayName())
}

func groupOf(e Endpoint, mode string) (g group, ok bool) {
	against := e.Admission.State == violates
	switch {
	case e.Role == roleCandidate:
		return group{code: CodeQuarantined, severity: Failure, meaning: "in quarantine: " + e.Reason}, true
	case e.Quarantined && against:
		return group{code: CodeQuarantined, severity: Failure, meaning: "in quarantine: " + e.Admission.Reason}, true
	case e.Quarantined:
		return group{code: CodeEvidence, severity: Failure,
			meaning: "held: nothing passes until there is evidence about the container (mcpnet.caps.mode=" + mode + ")"}, true
	case against && e.Admission.WayOut:
		return group{code: CodeWayOut, severity: Failure, meaning: "with a way past the network: " + e.Admission.Reason}, true
	case against:
		return group{code: CodeExcess, severity: Warning,
			meaning: "beyond mcpnet.caps, which mcpnet.caps.mode=" + mode + " reports: " + e.Admission.Reason}, true
	}
	return g, false
}

// watchFindings tell that nobody looks at the containers of servers.
func (n Network) watchFindings(j Judged) []Finding {
	servers := n.living(roleServer)
	if j.Watched || j.CapsMode == "off" || len(servers) == 0 {
		return nil
	}
	return []Finding{n.finding(CodeUnwatched, Failure,
		fmt.Sprintf("nobody watches: mcpnet.caps.mode=%s, and no service looks at the containers of %s", j.CapsMode, count(len(servers), "server")),
		"mcpnet install --service, and start it; or mcpnet.caps.mode=off")}
}

// most names are written out; the others are counted.
const mostNames = 5

func names(all []string) string {
	if len(all) <= mostNames {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:mostNames], ", "), len(all)-mostNames)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

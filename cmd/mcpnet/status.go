package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func newStatus(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show networks, endpoints, the layers in force and what was denied",
		Long: `Show networks, endpoints, the layers in force and what was denied, read from the kernel at this moment.

Exit status: 0 everything is in force; 1 something is not as it should be, and the output says what: a layer or an
endpoint, a finding of severity failure (a server in quarantine or with a way out, a gateway that is missing or reaches
nothing beyond its network, containers that nobody watches); 2 wrong usage; 3 it could not be told.`,
		Example: "  mcpnet status\n  mcpnet status --json | jq '.networks[] | {name, denied}'",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := ask(c, o, source.Status)
			if err != nil {
				return err
			}
			s := merge(all)
			s.Findings = append(s.Findings, commandFinding(s, hostNFT(c.Context()))...)
			if o.json {
				err = printJSON(c.OutOrStdout(), s)
			} else {
				err = printStatus(c.OutOrStdout(), s)
			}
			if err == nil && !healthy(s) {
				return errDrift
			}
			return err
		},
	}
}

func healthy(s report.Status) bool {
	for _, n := range s.Networks {
		sick := func(e report.Endpoint) bool {
			return e.State == report.StateGone || e.State == report.StateUnguarded || e.Quarantined || isCandidate(e) || e.Admission.WayOut
		}
		if len(n.Drift) > 0 || !n.BridgeUp || slices.ContainsFunc(n.Endpoints, sick) {
			return false
		}
	}
	return !slices.ContainsFunc(s.Findings, func(f report.Finding) bool { return f.Severity == report.Failure })
}

// hostNFT is what this host's own nft command says of its version. The plugin has another one, that of the machine that
// built it.
func hostNFT(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "nft", "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// commandFinding tells that the host's nft command is older than the one that loaded the rules.
func commandFinding(s report.Status, version string) []report.Finding {
	if !s.Layers.Prefix || version == "" || len(s.Networks) == 0 || firewall.ListsPrefix(version) {
		return nil
	}
	return []report.Finding{{Code: report.CodeOldNFT, Severity: report.Warning, Object: "host",
		Meaning: fmt.Sprintf("its nft command (%s) cannot list the rules that a newer one loaded: `nft list ruleset` in a network's namespace does not end", version),
		Remedy:  "use nft 1.1.6 or later, or build the plugin on this host (make plugin)"}}
}

func isCandidate(e report.Endpoint) bool { return e.Role == string(topology.RoleCandidate) }

func printStatus(out io.Writer, s report.Status) error {
	s = printed.All(s)
	p := painter{colour: wantsColour(out)}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	unused := len(s.Networks) == 0
	fmt.Fprintf(w, "mcpnet %s (%s)\n", s.Version, strings.Join(s.Owners, ", "))
	fmt.Fprintf(w, "Layers:\n")
	fmt.Fprintf(w, "  namespaces\t%s\n", layer(unused, s.Layers.Namespaces, "in force: each network in a network namespace of its own"))
	fmt.Fprintf(w, "  nftables\t%s\n", layer(unused, s.Layers.NFTables, "in force: DOCKER-MCP from the ingress hook of every wire, priority -300"))
	fmt.Fprintf(w, "  uplinks\t%s\n", uplinksLayer(s))
	if len(s.Findings) > 0 {
		fmt.Fprintf(w, "Findings:\n")
	}
	for _, f := range s.Findings {
		pad := strings.Repeat(" ", max(0, len(report.Failure)-len(f.Severity)))
		fmt.Fprintf(w, "  %s%s  %s\n", paintSeverity(p, f.Severity), pad, findingText(f))
	}
	if unused {
		fmt.Fprintf(w, "\nNo networks. Make one: docker network create -d mcpnet --subnet … -o mcpnet.gateway=IP:PORT NAME\n")
	}
	for _, n := range s.Networks {
		printNetwork(w, p, n)
	}
	return w.Flush()
}

func paintSeverity(p painter, s report.Severity) string {
	if s == report.Failure {
		return p.bad(string(s))
	}
	return p.warn(string(s))
}

func findingText(f report.Finding) string {
	text := f.Object + ": " + f.Meaning
	if f.Remedy != "" {
		text += ". " + f.Remedy
	}
	return text
}

func layer(unused, holds bool, text string) string {
	switch {
	case unused:
		return "nothing to hold: no network"
	case holds:
		return text
	}
	return "INCOMPLETE: see the network's pending steps; its wires are dead until they are done"
}

// uplinksLayer tells how gateways get beyond their networks, which no promise depends on.
func uplinksLayer(s report.Status) string {
	if !slices.ContainsFunc(s.Networks, func(n report.Network) bool { return n.Uplink != "" }) {
		return "none: nothing goes beyond a network"
	}
	text := "in force"
	if !s.Layers.Uplinks {
		text = "INCOMPLETE: a gateway reaches nothing beyond its network until the pending steps are done"
	}
	if s.Layers.Firewalld {
		text += "; firewalld runs"
	}
	switch {
	case s.Layers.IPTables == "":
		return text + "; no iptables on this host"
	case s.Layers.DockerMCP == nil:
		return fmt.Sprintf("%s; iptables (%s): nothing leads to DOCKER-MCP", text, s.Layers.IPTables)
	}
	return fmt.Sprintf("%s; iptables (%s): DOCKER-MCP from %s rule %d", text, s.Layers.IPTables, s.Layers.DockerMCP.Chain, s.Layers.DockerMCP.Rule)
}

func printNetwork(w io.Writer, p painter, n report.Network) {
	state := "up"
	if !n.BridgeUp {
		state = p.bad("DOWN")
	}
	fmt.Fprintf(w, "\nNetwork %s (%s): namespace %s, bridge %s, subnet %s, %s\n", n.DisplayName(), n.Owner, n.Namespace, state, n.Subnet, uplinkText(p, n))
	fmt.Fprintf(w, "  policy\t%s\n", policyText(n.Policy))
	for _, step := range n.Drift {
		fmt.Fprintf(w, "  %s\t%s\n", p.bad("pending"), step)
	}
	printEndpoints(w, n.Endpoints)
	printDenied(w, n)
}

func uplinkText(p painter, n report.Network) string {
	switch {
	case n.Uplink == "":
		return "no uplink"
	case n.UplinkUp && n.Zone != "":
		return fmt.Sprintf("uplink %s in firewalld's zone %s", n.Uplink, n.Zone)
	case n.UplinkUp:
		return "uplink " + n.Uplink
	}
	return "uplink " + n.Uplink + " " + p.bad("DOWN")
}

func policyText(policy map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(policy)) {
		if name, ok := strings.CutPrefix(key, "mcpnet."); ok {
			out = append(out, name+"="+policy[key])
		}
	}
	return strings.Join(out, " ")
}

func printEndpoints(w io.Writer, endpoints []report.Endpoint) {
	if len(endpoints) == 0 {
		fmt.Fprintf(w, "  no endpoints\n")
		return
	}
	fmt.Fprintf(w, "  ADDRESS\tROLE\tSTATE\tCONTAINER\tWIRE\tSENT\tRECEIVED\n")
	for _, e := range endpoints {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%d\t%d\n", e.Address, e.Role, stateText(e), e.DisplayName(), e.Wire, e.Sent.Packets, e.Received.Packets)
	}
	for _, e := range endpoints {
		if e.Allow != "" {
			fmt.Fprintf(w, "  %s\tof mcpnet.allow: %s\n", e.Address, e.Allow)
		}
	}
}

// stateText is an endpoint's state, with what is against its container (P10). Findings say why.
func stateText(e report.Endpoint) string {
	violates := e.Admission.State == string(topology.Violates)
	switch {
	case isCandidate(e), e.Quarantined && violates:
		return string(e.State) + ", quarantined"
	case e.Quarantined:
		return string(e.State) + ", held"
	case violates && e.Admission.WayOut:
		return string(e.State) + ", way out"
	case violates:
		return string(e.State) + ", reported"
	}
	return string(e.State)
}

func printDenied(w io.Writer, n report.Network) {
	if len(n.Denied) == 0 {
		return
	}
	fmt.Fprintf(w, "  DENIED BY\tPACKETS\tBYTES\n")
	for _, what := range slices.Sorted(maps.Keys(n.Denied)) {
		c := n.Denied[what]
		fmt.Fprintf(w, "  %s/%s\t%d\t%d\n", n.Bridge, what, c.Packets, c.Bytes)
	}
}

// painter colours words where a person reads them. Colour is only ever added to words that stand alone at the end of a
// cell or carry the meaning themselves: tabwriter counts escape bytes as width.
type painter struct{ colour bool }

func (p painter) bad(s string) string  { return p.paint("31", s) }
func (p painter) warn(s string) string { return p.paint("33", s) }

func (p painter) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// wantsColour follows NO_COLOR (no-color.org) and colours terminals only.
func wantsColour(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

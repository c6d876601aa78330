package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func newStatus(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show networks, endpoints, the layers in force and what was denied",
		Long: `Show networks, endpoints, the layers in force and what was denied, read from the kernel at this moment.

Exit status: 0 everything is in force, 1 a layer or an endpoint is not as it should be (the output says which).`,
		Example: "  mcpnet status\n  mcpnet status --json | jq '.networks[] | {name, denied}'",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := ask(c, o, source.Status)
			if err != nil {
				return err
			}
			s := merge(all)
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

func healthy(s overview) bool {
	for _, n := range s.Networks {
		sick := func(e engine.EndpointStatus) bool { return e.State == "gone" || e.State == "unguarded" }
		if len(n.Drift) > 0 || !n.BridgeUp || slices.ContainsFunc(n.Endpoints, sick) {
			return false
		}
	}
	return true
}

func printStatus(out io.Writer, s overview) error {
	p := painter{colour: wantsColour(out)}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "mcpnet %s (%s)\n", s.Version, ownersText(s.Owners))
	fmt.Fprintf(w, "Layers:\n")
	fmt.Fprintf(w, "  nftables\t%s\n", layer(len(s.Networks) == 0, s.Layers.NFTables, "in force: DOCKER-MCP from the ingress hook of every wire, priority -300"))
	fmt.Fprintf(w, "  iptables\t%s\n", iptablesLayer(s.Layers, len(s.Networks) == 0))
	fmt.Fprintf(w, "  fast answers\t%s\n", map[bool]string{true: "TCP reset on closed ports", false: "no TCP reset: a closed port is silent"}[s.Layers.Reset])
	for _, problem := range s.Problems {
		fmt.Fprintf(w, "  %s\t%s\n", p.warn("note"), problem)
	}
	if len(s.Networks) == 0 {
		fmt.Fprintf(w, "\nNo networks. Make one: docker network create -d mcpnet --subnet … -o mcpnet.gateway=IP:PORT NAME\n")
	}
	for _, n := range s.Networks {
		printNetwork(w, p, n)
	}
	return w.Flush()
}

func ownersText(owners []topology.Owner) string {
	out := make([]string, len(owners))
	for i, o := range owners {
		out[i] = string(o)
	}
	return strings.Join(out, ", ")
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

func iptablesLayer(l engine.Layers, unused bool) string {
	switch {
	case l.IPTables == "":
		return "not available on this host; nftables holds alone"
	case unused:
		return l.IPTables + " variant: nothing to hold: no network"
	}
	var places []string
	for _, command := range []string{"iptables", "ip6tables"} {
		if p, ok := l.DockerMCP[command]; ok {
			places = append(places, fmt.Sprintf("%s %s rule %d", command, p.Chain, p.Rule))
		} else {
			places = append(places, command+": nothing leads there")
		}
	}
	return fmt.Sprintf("%s variant: DOCKER-MCP from %s", l.IPTables, strings.Join(places, ", "))
}

func printNetwork(w io.Writer, p painter, n engine.NetworkStatus) {
	name := n.Name
	if name == "" {
		name = n.ID[:min(12, len(n.ID))]
	}
	state := "up"
	if !n.BridgeUp {
		state = p.bad("DOWN")
	}
	fmt.Fprintf(w, "\nNetwork %s (%s): bridge %s (%s), subnet %s\n", name, n.Owner, n.Bridge, state, n.Subnet)
	fmt.Fprintf(w, "  policy\t%s\n", policyText(n.Policy))
	for _, step := range n.Drift {
		fmt.Fprintf(w, "  %s\t%s\n", p.bad("pending"), step)
	}
	printEndpoints(w, p, n.Endpoints)
	printDenied(w, n)
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

func printEndpoints(w io.Writer, p painter, endpoints []engine.EndpointStatus) {
	if len(endpoints) == 0 {
		fmt.Fprintf(w, "  no endpoints\n")
		return
	}
	fmt.Fprintf(w, "  ADDRESS\tROLE\tSTATE\tCONTAINER\tWIRE\tSENT\tRECEIVED\n")
	for _, e := range endpoints {
		container := e.Container
		if container == "" {
			container = "endpoint " + e.ID[:min(12, len(e.ID))]
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%d\t%d\n", e.Address, e.Role, e.State, container, e.Wire, e.Sent.Packets, e.Received.Packets)
		if e.Role == topology.RoleCandidate {
			fmt.Fprintf(w, "  \t%s\t%s\n", p.warn("quarantined"), e.Reason)
		}
		if word, reason := admissionText(e); word != "" {
			fmt.Fprintf(w, "  \t%s\t%s\n", p.warn(word), reason)
		}
	}
}

// admissionText says what is against an endpoint's container (P10); nothing where it conforms or nobody looks.
func admissionText(e engine.EndpointStatus) (word, reason string) {
	switch {
	case e.Quarantined && e.Admission.State == topology.Violates:
		return "quarantined", e.Admission.Reason
	case e.Quarantined:
		return "held", "until its container is known to keep to mcpnet.caps"
	case e.Admission.State == topology.Violates:
		return "audit", e.Admission.Reason
	}
	return "", ""
}

func printDenied(w io.Writer, n engine.NetworkStatus) {
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

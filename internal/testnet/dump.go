package testnet

import (
	"fmt"
	"strings"
)

// Dump shows the state of the namespace, for the log of a test that failed.
func (n *NS) Dump() string {
	var b strings.Builder
	for _, cmd := range [][]string{
		{"ip", "-br", "link"},
		{"ip", "-br", "addr"},
		{"ip", "route", "show", "table", "all"},
		{"ip", "neigh"},
		{"bridge", "link"},
		{"timeout", "5", "nft", "list", "ruleset"}, // before 1.1.6 it runs forever beside a chain for devices of a prefix
		{"iptables-save", "-c"},
	} {
		out, err := n.Output(cmd[0], cmd[1:]...)
		if err != nil {
			out = err.Error() + "\n"
		}
		if out != "" {
			fmt.Fprintf(&b, "--- %s: %s\n%s", n.label, strings.Join(cmd, " "), out)
		}
	}
	return b.String()
}

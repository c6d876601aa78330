package nft

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// RemoveLegacy removes, from the host's tables, what stood there for a bridge before networks had namespaces: chains
// that go by the bridge's name in their rules' ids, and sets that bear it. With the last of them the table of the
// ingress hook goes, and the chains that held for all wires. The uplink's chains have the names of those that stood
// in table inet: what is of that time goes, what is not stays.
func (f *Firewall) RemoveLegacy(ctx context.Context, bridge string) error {
	state, err := f.Observe(nil, nil)
	if err != nil {
		return err
	}
	var flush, remove strings.Builder
	others := false
	for name, ids := range state.Chains[firewall.NetDev] {
		if !hasPrefix(ids, bridge+"/") && !strings.HasSuffix(name, "."+bridge) {
			others = true
			continue
		}
		fmt.Fprintf(&flush, "flush chain netdev %s %s\n", firewall.TableName, name)
		fmt.Fprintf(&remove, "delete chain netdev %s %s\n", firewall.TableName, name)
	}
	if !others {
		text := fmt.Sprintf("add table netdev %s\ndelete table netdev %s\n", firewall.TableName, firewall.TableName) + legacyRouted(state, bridge)
		for _, name := range []string{"forward", "input"} {
			if hasPrefix(state.Chains[firewall.Inet][name], "wires/") {
				text += fmt.Sprintf("delete chain inet %s %s\n", firewall.TableName, name)
			}
		}
		return errors.Join(f.run(ctx, text), f.removeEmptyTable())
	}
	return f.run(ctx, flush.String()+remove.String()+f.legacySets(bridge)+legacyRouted(state, bridge))
}

// legacyRouted is the text that removes a bridge's chains of table inet, which began with the metadata services.
func legacyRouted(state State, bridge string) string {
	if !hasPrefix(state.Chains[firewall.Inet]["forward."+bridge], bridge+"/egress-metadata") {
		return ""
	}
	var text strings.Builder
	for _, hook := range []string{"forward.", "input.", "postrouting."} {
		if _, exists := state.Chains[firewall.Inet][hook+bridge]; exists {
			fmt.Fprintf(&text, "delete chain inet %s %s\n", firewall.TableName, hook+bridge)
		}
	}
	return text.String()
}

func hasPrefix(ids []string, prefix string) bool {
	return len(ids) > 0 && strings.HasPrefix(ids[0], prefix)
}

// legacySets is the text that removes the sets and maps of a bridge.
func (f *Firewall) legacySets(bridge string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sets []*nftables.Set
	err := f.whole(func() (err error) {
		sets, err = f.conn.GetSets(table(firewall.NetDev))
		return err
	})
	if err != nil {
		return ""
	}
	var text strings.Builder
	for _, s := range sets {
		if strings.HasPrefix(s.Name, bridge+".") {
			fmt.Fprintf(&text, "delete %s netdev %s %s\n", map[bool]string{true: "map", false: "set"}[s.IsMap], firewall.TableName, s.Name)
		}
	}
	return text.String()
}

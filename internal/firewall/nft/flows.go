package nft

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Flows gives the elements of the sets that rules fill, by set, with the time that is left to them. found is false
// where such a set does not exist.
func (f *Firewall) Flows() (flows map[string][]firewall.Element, found bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flows = map[string][]firewall.Element{}
	for _, s := range firewall.FlowSets() {
		elements, err := f.conn.GetSetElements(kernelSet(s))
		if err != nil && strings.HasSuffix(err.Error(), unix.ENOENT.Error()) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("list set %s: %w", s.Name, err)
		}
		for _, e := range elements {
			if left := e.Expires.Round(time.Second); left > 0 {
				flows[s.Name] = append(flows[s.Name], firewall.Element{Key: keyParts(s.Key, e.Key, nil), Timeout: fmt.Sprintf("%ds", int(left.Seconds()))})
			}
		}
	}
	return flows, true, nil
}

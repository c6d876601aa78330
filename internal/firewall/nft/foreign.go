package nft

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
)

// HasTable reports whether somebody has a table of a name in family inet.
func (f *Firewall) HasTable(name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tables, err := f.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list tables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == name }), nil
}

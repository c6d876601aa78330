package cni

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// state is everything that a plugin could leave on a host, one line for each object. What lies in a network's namespace
// has its name in front.
type state map[string]bool

// state reads it.
func (l *lab) state() state {
	l.t.Helper()
	s := state{}
	l.objects(s, "", l.NS)
	for _, name := range l.pinned() {
		s["namespace "+name] = true
		l.in(name, func(ns *testnet.NS) { l.objects(s, name+": ", ns) })
	}
	for _, command := range legacySave() {
		s.saved(command, l.NS.Run(command))
	}
	l.files(s)
	return s
}

// objects takes the links and the rules of one namespace.
func (l *lab) objects(s state, where string, ns *testnet.NS) {
	l.t.Helper()
	links, err := ns.Links()
	if err != nil {
		l.t.Fatalf("%slinks: %v", where, err)
	}
	for _, link := range links {
		s[where+"link "+link.Attrs().Name] = true
	}
	if err := ruleset(s, where, ns.Path()); err != nil {
		l.t.Fatalf("%snftables: %v", where, err)
	}
}

// pinned are the names of the namespaces that the plugin has made.
func (l *lab) pinned() (names []string) {
	l.t.Helper()
	entries, err := os.ReadDir(l.Pins)
	if err != nil {
		l.t.Fatalf("namespaces: %v", err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// in runs f with a namespace that the plugin has made, and lets go of it: an open socket would keep it from ending.
func (l *lab) in(name string, f func(*testnet.NS)) {
	l.t.Helper()
	while := &life{T: l.t}
	defer while.end()
	f(testnet.FromPath(while, filepath.Join(l.Pins, name)))
}

// legacySave are the commands that show what nft does not see, on a host whose iptables is the old one.
var legacySave = sync.OnceValue(func() []string {
	if out, err := exec.Command("iptables", "-V").Output(); err == nil && strings.Contains(string(out), "legacy") {
		return []string{"iptables-save", "ip6tables-save"}
	}
	return nil
})

// iptables' own tables and chains: it makes them by looking, and they hold nothing.
var (
	builtInTables = []string{"filter", "nat", "mangle", "raw", "security"}
	builtInChains = []string{"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"}
)

// openRules connects to nftables in a namespace. Old versions of the nft command do not come back from listing a
// chain for devices of a prefix.
func openRules(path string) (*nftables.Conn, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return nftables.New(nftables.WithNetNSFd(int(f.Fd())), nftables.AsLasting())
}

// dropElements takes the elements of sets and maps away whose keys begin with the index of a link.
func dropElements(path string, index int) error {
	c, err := openRules(path)
	if err != nil {
		return err
	}
	defer c.CloseLasting()
	listed, err := c.GetSets(&nftables.Table{Family: nftables.TableFamilyNetdev, Name: "mcpnet"})
	if err != nil {
		return err
	}
	for _, set := range listed {
		elements, err := c.GetSetElements(set)
		if err != nil {
			return err
		}
		for _, e := range elements {
			if !bytes.HasPrefix(e.Key, binary.NativeEndian.AppendUint32(nil, uint32(index))) {
				continue
			}
			if err := c.SetDeleteElements(set, []nftables.SetElement{{Key: e.Key, Val: e.Val}}); err != nil {
				return err
			}
		}
	}
	return c.Flush()
}

// ruleset takes nftables' tables, chains and sets with what is in them, and the rules in iptables' tables.
func ruleset(s state, where, path string) error {
	c, err := openRules(path)
	if err != nil {
		return err
	}
	defer c.CloseLasting()
	chains, err := c.ListChains()
	if err != nil {
		return err
	}
	tables, err := c.ListTables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !ofIPTables(t) {
			s[where+tableName(t)] = true
		}
		if err := sets(c, s, where, t); err != nil {
			return fmt.Errorf("sets of %s: %w", tableName(t), err)
		}
	}
	for _, chain := range chains {
		own := ofIPTables(chain.Table)
		if !own || !slices.Contains(builtInChains, chain.Name) {
			s[where+tableName(chain.Table)+": chain "+chain.Name] = true
		}
		if !own {
			continue
		}
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return fmt.Errorf("rules of %s, chain %s: %w", tableName(chain.Table), chain.Name, err)
		}
		for i := range rules {
			s[fmt.Sprintf("%s%s: chain %s: rule %d", where, tableName(chain.Table), chain.Name, i)] = true
		}
	}
	return nil
}

// sets takes a table's sets and maps, and the elements that no rule puts there.
func sets(c *nftables.Conn, s state, where string, of *nftables.Table) error {
	listed, err := c.GetSets(of)
	if err != nil {
		return err
	}
	for _, set := range listed {
		name := fmt.Sprintf("%s%s: set %s", where, tableName(of), set.Name)
		s[name] = true
		if set.Dynamic {
			continue
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return err
		}
		for _, e := range elements {
			s[fmt.Sprintf("%s: element %x", name, e.Key)] = true
		}
	}
	return nil
}

func ofIPTables(t *nftables.Table) bool {
	return (t.Family == nftables.TableFamilyIPv4 || t.Family == nftables.TableFamilyIPv6) && slices.Contains(builtInTables, t.Name)
}

func tableName(t *nftables.Table) string { return fmt.Sprintf("nftables %d %s", t.Family, t.Name) }

// saved takes the rules and the chains that are not iptables' own.
func (s state) saved(command, listed string) {
	for line := range strings.Lines(listed) {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "-A" || strings.HasPrefix(fields[0], ":") && fields[1] == "-") {
			s[command+" "+strings.Join(fields[:2], " ")] = true
		}
	}
}

// files takes mcpnet's documents and host-local's addresses.
func (l *lab) files(s state) {
	documents := filepath.Join(l.Store(), "cni", "v2")
	_ = filepath.WalkDir(documents, func(path string, _ fs.DirEntry, err error) error {
		if rel, failed := filepath.Rel(documents, path); err == nil && failed == nil && rel != "." {
			s["document "+rel] = true
		}
		return nil
	})
	entries, _ := os.ReadDir(filepath.Join(l.IPAM(), networkName))
	for _, e := range entries {
		if _, err := netip.ParseAddr(e.Name()); err == nil {
			s["address "+e.Name()] = true
		}
	}
}

// left gives what is there now and was not before.
func (l *lab) left() []string {
	l.t.Helper()
	now := l.state()
	for _, link := range l.s.keeps {
		delete(now, "link "+link)
	}
	maps.DeleteFunc(now, func(k string, _ bool) bool { return l.before[k] })
	return slices.Sorted(maps.Keys(now))
}

// nothingLeft is a fault for each object that is. Interfaces of a namespace that was removed go a little later.
func (l *lab) nothingLeft(when string) {
	l.t.Helper()
	left := l.left()
	for deadline := time.Now().Add(2 * time.Second); len(left) > 0 && onlyLinks(left) && time.Now().Before(deadline); left = l.left() {
		time.Sleep(20 * time.Millisecond)
	}
	for _, object := range left {
		l.fault("%s: left: %s", when, object)
	}
}

func onlyLinks(left []string) bool {
	return !slices.ContainsFunc(left, func(object string) bool { return !strings.HasPrefix(object, "link ") })
}

// linksOf names the interfaces of a container but its loopback.
func (l *lab) linksOf(c *container) []string {
	l.t.Helper()
	links, err := c.Links()
	if err != nil {
		l.t.Fatalf("links of %s: %v", c.id, err)
	}
	var names []string
	for _, link := range links {
		if name := link.Attrs().Name; name != "lo" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

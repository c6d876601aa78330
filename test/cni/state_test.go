package cni

import (
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
)

// state is everything that a plugin could leave on a host, one line for each object.
type state map[string]bool

// state reads it.
func (l *lab) state() state {
	l.t.Helper()
	s := state{}
	links, err := l.NS.Handle().LinkList()
	if err != nil {
		l.t.Fatalf("links: %v", err)
	}
	for _, link := range links {
		s["link "+link.Attrs().Name] = true
	}
	if err := l.rules(s); err != nil {
		l.t.Fatalf("nftables: %v", err)
	}
	for _, command := range legacySave() {
		s.saved(command, l.NS.Run(command))
	}
	l.files(s)
	return s
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

// rules takes nftables' tables, chains and sets, and the rules in iptables' tables.
func (l *lab) rules(s state) error {
	f, err := os.Open(l.NS.Path())
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(f.Fd())))
	if err != nil {
		return err
	}
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
			s[tableName(t)] = true
		}
		sets, err := c.GetSets(t)
		if err != nil {
			return fmt.Errorf("sets of %s: %w", tableName(t), err)
		}
		for _, set := range sets {
			s[tableName(t)+": set "+set.Name] = true
		}
	}
	for _, chain := range chains {
		own := ofIPTables(chain.Table)
		if !own || !slices.Contains(builtInChains, chain.Name) {
			s[tableName(chain.Table)+": chain "+chain.Name] = true
		}
		if !own {
			continue
		}
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return fmt.Errorf("rules of %s, chain %s: %w", tableName(chain.Table), chain.Name, err)
		}
		for i := range rules {
			s[fmt.Sprintf("%s: chain %s: rule %d", tableName(chain.Table), chain.Name, i)] = true
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
	_ = filepath.WalkDir(filepath.Join(l.Store(), "v2"), func(path string, _ fs.DirEntry, err error) error {
		if rel, failed := filepath.Rel(l.Store(), path); err == nil && failed == nil && rel != "v2" {
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
	links, err := c.Handle().LinkList()
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

package testhost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// carrier is what links show of the other end, each in its own time.
var carrier = regexp.MustCompile(` +(UP|DOWN|UNKNOWN|LOWERLAYERDOWN) +`)

// peerIndex is the index of a veth's other end, which is another one each time.
var peerIndex = regexp.MustCompile(`@if[0-9]+`)

// State is everything of mcpnet's on a host, line by line: links, routes and rules of the host, networks' namespaces
// with all that is in them, and the documents below the directories of stores.
func State(t testing.TB, w *testnet.World, stores ...string) string {
	t.Helper()
	lines := hostLines(w.Host)
	entries, err := os.ReadDir(w.Pins)
	check(t, err)
	for _, e := range entries {
		lines = append(lines, prefixed("pin "+e.Name(), pinLines(t, filepath.Join(w.Pins, e.Name())))...)
	}
	for _, dir := range stores {
		lines = append(lines, documentLines(t, dir)...)
	}
	slices.Sort(lines) // tables and links come in the order in which they were made
	return strings.Join(lines, "\n")
}

// Same fails the test when a state is another one than before.
func Same(t testing.TB, before, after string) {
	t.Helper()
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	gone, come := without(old, now), without(now, old)
	if len(gone)+len(come) > 0 || len(old) != len(now) {
		t.Errorf("%d lines are gone, %d have come; the first:\n- %s\n+ %s", len(gone), len(come),
			strings.Join(gone[:min(8, len(gone))], "\n- "), strings.Join(come[:min(8, len(come))], "\n+ "))
	}
}

// without gives the lines that others lack.
func without(lines, others []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(others, l) })
}

func tidy(line string) string {
	return peerIndex.ReplaceAllString(carrier.ReplaceAllString(line, " "), "")
}

// hostLines is what the host's own namespace shows of mcpnet. The rest of it is others'.
func hostLines(host *testnet.NS) (lines []string) {
	for _, command := range []string{"nft -s list ruleset", "iptables-save", "ip6tables-save", "ip -br addr", "ip route",
		"ip neigh show nud permanent"} {
		words := strings.Fields(command)
		for _, line := range strings.Split(host.Run(words[0], words[1:]...), "\n") {
			if strings.Contains(strings.ToLower(line), "mcp") && !strings.HasPrefix(line, "#") {
				lines = append(lines, "host: "+tidy(line))
			}
		}
	}
	return lines
}

// pinLines is all that a network's namespace holds. A file that nothing is mounted on is one line.
func pinLines(t testing.TB, path string) (lines []string) {
	t.Helper()
	var s unix.Statfs_t
	check(t, unix.Statfs(path, &s))
	if s.Type != unix.NSFS_MAGIC {
		return []string{"not a namespace"}
	}
	in := testnet.FromPath(t, path)
	defer in.Idle()
	commands := []string{"ip -br addr", "ip route show table all", "ip rule", "ip neigh show nud permanent",
		"sysctl -e net.ipv4.icmp_ratelimit net.ipv4.fwmark_reflect"}
	for _, command := range commands {
		words := strings.Fields(command)
		for _, line := range strings.Split(in.Run(words[0], words[1:]...), "\n") {
			if line = strings.TrimSpace(tidy(line)); line != "" && !strings.Contains(line, "linkdown") {
				lines = append(lines, line)
			}
		}
	}
	return append(append(lines, linkLines(t, in)...), ruleLines(t, in)...)
}

// linkLines tells what `ip -br` leaves out.
func linkLines(t testing.TB, in *testnet.NS) (lines []string) {
	t.Helper()
	links, err := in.Links()
	check(t, err)
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		a := l.Attrs()
		mac := a.HardwareAddr.String()
		if l.Type() == "bridge" || a.Name == topology.RouterPort {
			mac = "" // chance, and nobody is told
		}
		lines = append(lines, fmt.Sprintf("link %s %s master %s alias %s group %d mac %s %s", a.Name, l.Type(),
			names[a.MasterIndex], a.Alias,
			a.Group, mac, up(a.RawFlags)))
	}
	return lines
}

func up(flags uint32) string {
	if flags&unix.IFF_UP != 0 {
		return "up"
	}
	return "down"
}

// ruleLines is everything of nftables in a namespace, over netlink: older nft commands cannot list a namespace with
// an ingress chain for a prefix of devices, and try for ever. Counters, and what rules put into sets by themselves,
// are left out.
func ruleLines(t testing.TB, in *testnet.NS) (lines []string) {
	t.Helper()
	var conn *nftables.Conn
	check(t, in.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	}))
	defer func() { check(t, conn.CloseLasting()) }()
	tables, err := conn.ListTables()
	check(t, err)
	for _, table := range tables {
		name := fmt.Sprintf("table %d %s", table.Family, table.Name)
		lines = append(lines, name)
		lines = append(lines, prefixed(name, setLines(t, conn, table))...)
	}
	chains, err := conn.ListChains()
	check(t, err)
	for _, c := range chains {
		name := fmt.Sprintf("table %d %s: chain %s", c.Table.Family, c.Table.Name, c.Name)
		lines = append(lines, fmt.Sprintf("%s: type %s hook %s priority %s policy %s", name, c.Type, value(c.Hooknum),
			value(c.Priority), value(c.Policy)))
		rules, err := conn.GetRules(c.Table, c)
		check(t, err)
		for i, r := range rules {
			lines = append(lines, fmt.Sprintf("%s: rule %02d: %q%s", name, i, r.UserData, exprText(r.Exprs)))
		}
	}
	return lines
}

func value[T any](p *T) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}

func exprText(exprs []expr.Any) string {
	var text strings.Builder
	for _, e := range exprs {
		if _, counts := e.(*expr.Counter); !counts {
			fmt.Fprintf(&text, " %T%+v", e, reflect.ValueOf(e).Elem())
		}
	}
	return text.String()
}

func setLines(t testing.TB, conn *nftables.Conn, table *nftables.Table) (lines []string) {
	t.Helper()
	sets, err := conn.GetSets(table)
	check(t, err)
	for _, s := range sets {
		if s.Anonymous {
			continue // its elements are part of a rule, and its name is another one each time
		}
		lines = append(lines, fmt.Sprintf("set %s: key %s data %s", s.Name, s.KeyType.Name, s.DataType.Name))
		if s.Dynamic || s.HasTimeout {
			continue
		}
		elements, err := conn.GetSetElements(s)
		check(t, err)
		for _, e := range elements {
			lines = append(lines, fmt.Sprintf("set %s: element %x : %x", s.Name, e.Key, e.Val))
		}
	}
	return lines
}

// documentLines is every document of a store, whole, but for the times that some bear.
func documentLines(t testing.TB, dir string) (lines []string) {
	t.Helper()
	root := filepath.Join(dir, "v2")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || entry.IsDir() && path == root {
			return err
		}
		name := "document " + strings.TrimPrefix(path, root)
		if entry.IsDir() {
			lines = append(lines, name+"/")
			return nil
		}
		data, err := os.ReadFile(path)
		lines = append(lines, name+": "+compact(data))
		return err
	})
	check(t, err)
	return lines
}

// compact is a document in one line, or the text of a file that is none.
func compact(data []byte) string {
	var out bytes.Buffer
	if json.Compact(&out, data) != nil {
		return string(data)
	}
	return out.String()
}

func prefixed(prefix string, lines []string) []string {
	out := []string{prefix}
	for _, l := range lines {
		out = append(out, prefix+": "+l)
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

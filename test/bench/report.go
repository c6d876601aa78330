package main

import (
	"fmt"
	"slices"
	"strings"
)

// chapter is a part of the report: its rows are those of a section.
type chapter struct{ section, title, text string }

var chapters = []chapter{
	{"start", "Start of a container", "Wall time of `docker run --rm` of a program that ends at once, on an mcpnet network and on a bridge network of the same engine: " +
		"create, attach, run, detach, remove."},
	{"runtime", "The runtime and the admission", "What `--runtime mcpnet` adds to a command beside runc, as the median of the differences of neighbours; *spread* is where the true median lies with 95 % confidence, *beside* the peer's own median. " +
		"The last two lines are containers whose program asks its gateway at once. Its first segment waits until the container is admitted. " +
		"Of one that is hardened by hand nobody knows before its start: Docker's record of it has to be read first."},
	{"attach", "Attach and detach", "The driver's own time, over its socket, for `CreateEndpoint` and `Join` together, and for `Leave` and `DeleteEndpoint` together, " +
		"beside endpoints that are there already. The drivers, each on its own host, are asked in turns. " +
		"*One chain* is a driver that has one chain for all wires, by a prefix of their names: Linux 6.16 with nft 1.1.6 or later; the nft command is that of the tree of Docker 28.5. " +
		"The others have a chain for each wire. " +
		"Most of a detach is the kernel's removal of a veth pair (RCU grace periods), during which the driver serves other calls."},
	{"steps", "Where the time of an attach goes", "The same without the socket: `internal/resident` in this process. The last line of each group is what no step accounts for: " +
		"the store, the lock and, on detach, the removal of the veth pair."},
	{"memory", "Memory of the driver", "Resident memory of the process `mcpnet-plugin`."},
	{"repair", "Repair", "After `nft flush ruleset` in the network's namespace, where nothing but an attack on mcpnet does it; and on the host, where everybody does and servers notice nothing. *Back* is the time from the return of the flush until the last of mcpnet's chains is in the kernel again, " +
		"with its rules and elements. *Silence* is the longest time without a frame at the gateway while a server in the middle of the others sends one each millisecond; " +
		"no frame passes that the policy does not permit, the wires are dead meanwhile."},
	{"cni", "ADD and DEL of CNI", "Wall time of a call as a runtime makes it, through libcni with a process for each plugin, beside endpoints that are there already, each in a " +
		"namespace of its own. *chain* is the reference plugins `bridge`, `host-local` and `firewall` (iptables), 1.9.1, without masquerading; *chain + portmap* publishes a port besides. " +
		"Nine hosts, one for each chain and number of endpoints, are asked in turns."},
	{"cni-crowd", "Fifty containers at once", fmt.Sprintf("%d ADDs at once, then as many DELs, on the hosts with 1 endpoint. All begin together, so the slowest of them is when all are done.", crowd)},
	{"throughput", "Throughput", "TCP from a server to the gateway; sender and receiver have a processor each."},
	{"latency", "Latency", "64 bytes there and 64 back over one TCP connection."},
	{"connections", "Connections", "Connect, 64 bytes there and back, close; in two loops."},
	{"packets", "Cost of a packet", "Nanoseconds of one processor for one frame of 60 bytes, from the sender's system call, which is included, to its end: " +
		"the gateway's stack or the drop. *Permitted* is a TCP segment to the gateway's port, *denied* a UDP datagram to it, *refused* a segment that asks for a connection to a closed port. " +
		"Nothing is denied on a plain bridge, so it delivers those, and its gateway refuses by itself."},
}

const howTo = "Run `make bench` on a quiet machine, as root, in about half an hour; `go run ./test/bench -quick` is a look in six minutes, " +
	"`-only attach,packets` measures a part, with `-update` into this file, and `-json FILE` writes every single measurement.\n\n" +
	"What is compared runs in turns (A B A B …). A *ratio* is the median of the ratios of neighbours, its *spread* the middle half of them; " +
	"the other columns are medians. All traffic is between network namespaces of one machine.\n\n" +
	"*bridge* is a plain Linux bridge with as many veth ports and no filter (`bridge-nf-call-iptables=0`). " +
	"*classic* is that bridge with the usual rule set (`iptables -I FORWARD -i BRIDGE -j DOCKER-MCP`, a rule for each endpoint, established connections first, `bridge-nf-call-iptables=1`); " +
	"the endpoint that is measured stands in the middle of its rules.\n"

// report is everything that was measured, and what an earlier report has beside that.
func (b *bench) report(earlier published) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# Benchmarks\n\nWritten by `make bench`; do not edit.\n\nMachine: %s.\n\n%s", b.onWhat(earlier), howTo)
	for _, c := range chapters {
		rows := slices.DeleteFunc(slices.Clone(b.results.rows), func(r row) bool { return r.Section != c.section })
		if len(rows) == 0 {
			out.WriteString(earlier.chapters[c.title])
			continue
		}
		out.WriteString(c.markdown(rows, earlier.elsewhere(b.results.machine)))
	}
	return out.String()
}

// onWhat names the machine of most chapters.
func (b *bench) onWhat(earlier published) string {
	if earlier.machine != "" {
		return strings.TrimSuffix(earlier.machine, ".")
	}
	return b.results.machine.String()
}

func (c chapter) markdown(rows []row, remark string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s\n%s\n| | median | beside | ratio | spread | target | |\n|---|---|---|---|---|---|---|\n", c.title, c.text, remark)
	for _, r := range rows {
		out.WriteString(r.markdown())
	}
	out.WriteString(notes(rows))
	return out.String()
}

// notes says each note once, after the rows that it is about.
func notes(rows []row) string {
	var order []string
	about := map[string][]string{}
	for _, r := range rows {
		note := bounds[r.ID]
		if !r.missed() || note == "" {
			continue
		}
		if about[note] == nil {
			order = append(order, note)
		}
		about[note] = append(about[note], r.What)
	}
	var out strings.Builder
	for _, note := range order {
		fmt.Fprintf(&out, "\n%s: %s\n", strings.Join(slices.Compact(about[note]), "; "), note)
	}
	return out.String()
}

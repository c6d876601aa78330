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
	{"attach", "Attach and detach", "The driver's own time, over its socket, for `CreateEndpoint` and `Join` together, and for `Leave` and `DeleteEndpoint` together, " +
		"beside endpoints that are there already. Three drivers, each on its own host, are asked in turns. " +
		"Most of a detach is the kernel's removal of a veth pair (RCU grace periods), during which the driver serves other calls."},
	{"steps", "Where the time of an attach goes", "The same without the socket: `internal/engine` in this process. The last line of each group is what no step accounts for: " +
		"the store, the lock and, on detach, the removal of the veth pair."},
	{"memory", "Memory of the driver", "Resident memory of the process `mcpnet-plugin`."},
	{"repair", "Repair", "After `nft flush ruleset`. *Back* is the time from the return of the flush until the last of mcpnet's chains is in the kernel again, " +
		"with its rules and elements. *Silence* is the longest time without a frame at the gateway while a server in the middle of the others sends one each millisecond; " +
		"no frame passes that the policy does not permit, the wires are dead meanwhile."},
	{"throughput", "Throughput", "TCP from a server to the gateway; sender and receiver have a processor each."},
	{"latency", "Latency", "64 bytes there and 64 back over one TCP connection."},
	{"connections", "Connections", "Connect, 64 bytes there and back, close; in two loops."},
	{"packets", "Cost of a packet", "Nanoseconds of one processor for one frame of 60 bytes, from the sender's system call, which is included, to its end: " +
		"the gateway's stack or the drop. *Permitted* is a TCP segment to the gateway's port, *denied* a UDP datagram to it, *refused* a segment that asks for a connection to a closed port. " +
		"Nothing is denied on a plain bridge, so it delivers those, and its gateway refuses by itself."},
}

const howTo = "Run `make bench` on a quiet machine, as root, in about ten minutes; `go run ./test/bench -quick` is a look in two, " +
	"`-only attach,packets` measures a part, `-json FILE` writes every single measurement.\n\n" +
	"What is compared runs in turns (A B A B …). A *ratio* is the median of the ratios of neighbours, its *spread* the middle half of them; " +
	"the other columns are medians. All traffic is between network namespaces of one machine.\n\n" +
	"*bridge* is a plain Linux bridge with as many veth ports and no filter (`bridge-nf-call-iptables=0`). " +
	"*classic* is that bridge with the usual rule set (`iptables -I FORWARD -i BRIDGE -j DOCKER-MCP`, a rule for each endpoint, established connections first, `bridge-nf-call-iptables=1`); " +
	"the endpoint that is measured stands in the middle of its rules.\n"

func (b *bench) report() string {
	var out strings.Builder
	m := b.results.machine
	fmt.Fprintf(&out, "# Benchmarks\n\nWritten by `make bench`; do not edit.\n\nMachine: Linux %s, %s, %d CPUs, %s; %s.\n\n%s",
		m.Kernel, m.Processor, m.CPUs, m.Memory, strings.Join(m.Software, ", "), howTo)
	for _, c := range chapters {
		rows := slices.DeleteFunc(slices.Clone(b.results.rows), func(r row) bool { return r.Section != c.section })
		if len(rows) > 0 {
			out.WriteString(c.markdown(rows))
		}
	}
	return out.String()
}

func (c chapter) markdown(rows []row) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n| | median | beside | ratio | spread | target | |\n|---|---|---|---|---|---|---|\n", c.title, c.text)
	for _, r := range rows {
		out.WriteString(r.markdown())
	}
	for _, r := range rows {
		if note := bounds[r.ID]; r.missed() && note != "" {
			fmt.Fprintf(&out, "\n%s: %s\n", r.What, note)
		}
	}
	return out.String()
}

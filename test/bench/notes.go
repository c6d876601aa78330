package main

// slope is what grows with the number of endpoints, found with perf; see internal/firewall/nft/guard.go for the
// transaction.
const slope = "the kernel walks through everything for one endpoint more: a commit validates each chain of the table again (`nft_table_validate`, the larger part) " +
	"and visits each one to publish its rules, a new chain is matched against the name of each link (`nft_netdev_hook_alloc`), and a new link is offered to each chain (`nf_tables_netdev_event`)."

// way is what a permitted frame costs more than on a bridge.
const way = "the ingress hook of the wire, and for the answer that of the gateway's, runs some fifteen expressions with two lookups " +
	"(wire, MAC and IP; next hop and port), where a bridge looks up one MAC address."

// seeWay is for the chapters before the one that says it.
const seeWay = "see the last chapter."

// calls is what stands between an engine and its runtime.
const calls = "four processes more for each container (`create`, `start`, and `delete` twice, as containerd calls them), each about 1.6 ms, of which 1.2 are the start " +
	"of any Go program, and 2.6 ms of work in two of them: the bundle, Docker's record, the networks' documents, the links in the namespace, the word that is left."

// bounds says, by the row's ID, what bounds a target that is missed. It is printed below the table when the target is
// missed, and only then; once for all rows that it is about.
var bounds = map[string]string{
	"attach-flat":     slope,
	"attach-1000-p50": slope,
	"permitted-1":     way,
	"permitted-cni":   way,
	"answer-cni":      seeWay,
	"answers-cni":     seeWay,
	"permitted-1000":  way,
	"answer-1":        seeWay,
	"answer-1000":     seeWay,
	"answers-1":       seeWay,
	"answers-1000":    seeWay,

	"run mcpnet 28.5":  calls,
	"run mcpnet 20.10": calls,
}

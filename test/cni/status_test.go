package cni

import (
	"context"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/types"
)

func statusRows() []row {
	return []row{
		{name: "STATUS of what works", run: statusWorks},
		{name: "STATUS when IPAM has no place for its files", run: statusIPAM},
		{name: "STATUS when the store cannot be written", only: hasPolicy, run: statusStore},
		{name: "STATUS of a configuration that ADD would refuse", only: hasPolicy, run: statusConfig},
		{name: "STATUS when the nft command is gone", only: hasRules, run: statusCommand},
	}
}

func statusWorks(l *lab) {
	l.succeeds(l.net.Status(context.Background()), "STATUS before the first ADD")
	l.nothingLeft("after STATUS")
	server := l.server()
	l.succeeds(l.net.Status(context.Background()), "STATUS with a container")
	l.succeeds(l.check(server), "CHECK after STATUS")
}

func statusIPAM(l *lab) {
	defer l.block(l.IPAM())()
	l.refused(l.net.Status(context.Background()), types.ErrPluginNotAvailable, "STATUS")
	c := l.container()
	_, err := l.tryAdd(l.net, c.call())
	l.want(err != nil, "ADD: accepted, so that this row tests nothing")
	if err := l.tryDel(l.net, c.call()); err != nil {
		l.t.Logf("DEL without IPAM's files: %v", err)
	}
}

func statusStore(l *lab) {
	defer l.block(l.Store())()
	l.refused(l.net.Status(context.Background()), types.ErrPluginNotAvailable, "STATUS", networkName, l.Store())
}

func statusConfig(l *lab) {
	n := l.network(set("x", "policy", "gatewya"))
	l.refused(n.Status(context.Background()), types.ErrInvalidNetworkConfig, "STATUS", networkName, "gatewya")
}

// statusCommand: an ADD before it wrote down what the kernel offers. STATUS asks again.
func statusCommand(l *lab) {
	l.server()
	l.succeeds(l.net.Status(context.Background()), "STATUS with the command")
	l.Env = []string{"PATH=" + filepath.Join(l.Dir, "empty")}
	defer func() { l.Env = nil }()
	l.refused(l.net.Status(context.Background()), types.ErrPluginNotAvailable, "STATUS", networkName, "nft")
}

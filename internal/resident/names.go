package resident

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/router"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Names says how servers' names are answered.
type Names struct {
	// Command is the program that becomes the process which reads what servers send; empty: this program.
	Command []string
	// Resolvers gives the host's resolvers.
	Resolvers func() ([]netip.AddrPort, error)
}

// nameRouter is the process that answers the names of one network.
type nameRouter struct {
	*router.Router
	inode uint64 // of the namespace that it works in
	in    ns.Handle
	host  ns.Handle
}

// ensureNames has the names of a network answered, in the namespace that it has now. Where that fails every name is
// denied, and status says so.
func (f *Front) ensureNames(n *network) {
	if !n.Policy.HasNames() {
		return
	}
	n.namesFailed = f.startNames(n)
	if n.namesFailed != nil {
		f.log.Error("names are not answered", "network", n.DisplayName(), "error", n.namesFailed)
	}
}

func (f *Front) startNames(n *network) error {
	in, err := f.core.Namespace(n.Network)
	if err != nil {
		return err
	}
	inode, err := in.Inode()
	if err != nil || n.names != nil && n.names.inode == inode {
		return errors.Join(err, in.Close())
	}
	f.stopNames(n)
	host, err := f.core.HostNamespace()
	if err != nil {
		return errors.Join(err, in.Close())
	}
	r := &nameRouter{inode: inode, in: in, host: host}
	if err = f.core.TakeNames(n.Network, n.servers()); err == nil {
		r.Router, err = router.Start(f.routerConfig(n, r))
	}
	if err != nil {
		return errors.Join(err, in.Close(), host.Close())
	}
	n.names = r
	for _, p := range n.endpoints {
		f.nameServer(n, p)
	}
	return nil
}

func (f *Front) routerConfig(n *network, r *nameRouter) router.Config {
	own := n.Network // what it is made of does not change while its namespace is there
	command := f.names.Command
	if len(command) == 0 {
		command = []string{"/proc/self/exe"}
	}
	return router.Config{
		Network: n.DisplayName(),
		NS:      r.in,
		Subnet:  n.Subnet, Addr: n.BridgeAddr,
		Allow:     n.Policy.Allow,
		Command:   command,
		Host:      r.host,
		Resolvers: f.names.Resolvers,
		Log:       f.log,
		Put:       func(put, gone []firewall.Name) error { return f.core.PutNames(own, put, gone) },
		Clear:     func(server netip.Addr) error { return f.core.ClearNames(own, server) },
		Observe: func(e router.Event) {
			f.log.Debug("name denied", "network", own.DisplayName(), "server", e.Server, "name", e.Name, "to", e.To,
				"reason", e.Reason)
		},
	}
}

// servers are the addresses of a network's servers.
func (n *network) servers() (out []netip.Addr) {
	for _, p := range n.endpoints {
		if p.Role == topology.RoleServer && !p.leaving {
			out = append(out, p.IP)
		}
	}
	return out
}

// nameServer tells which names a server may reach.
func (f *Front) nameServer(n *network, p *endpoint) {
	if n.names == nil || p.Role != topology.RoleServer || p.leaving {
		return
	}
	if err := n.names.SetServer(p.IP, p.Allow); err != nil {
		f.log.Warn("names of a server", "network", n.DisplayName(), "address", p.IP, "error", err)
	}
}

// unnameServer ends what a server has of names, unless another has its address.
func (f *Front) unnameServer(n *network, p *endpoint) {
	if p.Role == topology.RoleServer && !n.heldByOther(p) {
		f.clearNames(n, p)
	}
}

// clearNames ends what an address has of names, also where nobody answers them: the next server there has resolved
// nothing.
func (f *Front) clearNames(n *network, p *endpoint) {
	if !n.Policy.HasNames() {
		return
	}
	var err error
	if n.names != nil {
		err = n.names.DropServer(p.IP)
	} else {
		err = f.core.ClearNames(n.Network, p.IP)
	}
	if err != nil {
		f.log.Warn("names of a server that is gone", "network", n.DisplayName(), "address", p.IP, "error", err)
	}
}

func (f *Front) stopNames(n *network) {
	if n.names == nil {
		return
	}
	if err := errors.Join(n.names.Close(), n.names.in.Close(), n.names.host.Close()); err != nil {
		f.log.Debug("names", "network", n.DisplayName(), "error", err)
	}
	n.names = nil
}

// nameFindings tell of networks whose names nobody answers.
func (n *network) nameFindings() []report.Finding {
	err := n.namesFailed
	if err == nil && n.names != nil {
		err = n.names.Failed()
	}
	if err == nil {
		return nil
	}
	return []report.Finding{{Code: report.CodeNames, Severity: report.Failure, Object: "network " + n.DisplayName(),
		Meaning: fmt.Sprintf("names of %s are not answered, and denied: %v", policy.KeyAllow, err)}}
}

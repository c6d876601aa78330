package router

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/router/roster"
)

const (
	// maxAddrs is how many addresses of a name are kept.
	maxAddrs = 16
	// maxNames is how many names get a synthetic address: half of the pool, so that a free one is soon found.
	maxNames = 1 << 16
)

// names is what is known of a network's names: whose each synthetic address is, where it leads, and what the kernel
// holds for which server.
type names struct {
	subnet netip.Prefix
	roster *roster.Roster
	write  func(put, gone []firewall.Name) error
	clear  func(server netip.Addr) error
	turns  atomic.Uint64

	writing sync.Mutex // orders what goes to the kernel
	mu      sync.Mutex // of what follows
	address map[string]netip.Addr
	owner   map[netip.Addr]string
	real    map[string][]netip.Addr
	direct  map[way]netip.Addr // where the kernel leads connections that the relay does not carry
}

// way is a server's way to a port of a name.
type way struct {
	server, synthetic netip.Addr
	port              uint16
}

func newNames(c Config) *names {
	return &names{subnet: c.Subnet, roster: roster.New(c.Allow), write: c.Put, clear: c.Clear, address: map[string]netip.Addr{},
		owner: map[netip.Addr]string{}, real: map[string][]netip.Addr{}, direct: map[way]netip.Addr{}}
}

// turn counts, so that resolvers are asked in turn.
func (n *names) turn() uint64 { return n.turns.Add(1) }

// all gives the synthetic addresses of names.
func (n *names) all() map[string]netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.address)
}

// errNotAllowed says that no entry of a server's list holds a name.
var errNotAllowed = errors.New("no entry of mcpnet.allow holds the name for this server")

// bind gives a name its synthetic address once the kernel leads the server's connections from there to the name's own.
func (n *names) bind(server netip.Addr, name string, addrs []netip.Addr) (netip.Addr, error) {
	n.writing.Lock()
	defer n.writing.Unlock()
	grant, ok := n.roster.Find(server, name)
	if !ok {
		return netip.Addr{}, errNotAllowed
	}
	synthetic, put, err := n.assign(server, name, n.known(addrs), grant)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(put) > 0 {
		if err := n.write(put, nil); err != nil {
			n.unassign(put)
			return netip.Addr{}, err
		}
	}
	return synthetic, nil
}

// known are the addresses that are kept of a name: none of the network's own.
func (n *names) known(addrs []netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() && !n.subnet.Contains(a) && len(out) < maxAddrs {
			out = append(out, a)
		}
	}
	return out
}

// usable are those of a name's addresses that a server may be led to on a port.
func (n *names) usable(server netip.Addr, addrs []netip.Addr, port uint16) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !n.roster.Leads(server, a, port) })
}

// assign notes where a name leads. It gives the ways that the kernel does not hold yet: an address that the name still
// has stays the one that connections go to.
func (n *names) assign(
	server netip.Addr,
	name string,
	addrs []netip.Addr,
	grant roster.Grant,
) (synthetic netip.Addr, put []firewall.Name, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if synthetic, err = n.synthetic(name); err != nil {
		return synthetic, nil, err
	}
	n.real[name] = addrs
	leads := false
	for _, port := range grant.Ports {
		usable := n.usable(server, addrs, port)
		leads = leads || len(usable) > 0
		w := way{server, synthetic, port}
		if have, ok := n.direct[w]; relayed(port) || len(usable) == 0 || ok && slices.Contains(usable, have) {
			continue
		}
		n.direct[w] = usable[0]
		put = append(put, w.to(usable[0]))
	}
	if !leads {
		return synthetic, nil, fmt.Errorf("%s has no address that this server may reach", name)
	}
	return synthetic, put, nil
}

func (w way) to(real netip.Addr) firewall.Name {
	return firewall.Name{Server: w.server.String(), Synthetic: w.synthetic.String(), Real: real.String(), Port: w.port}
}

// unassign forgets ways that the kernel did not take.
func (n *names) unassign(put []firewall.Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range put {
		delete(n.direct, way{netip.MustParseAddr(p.Server), netip.MustParseAddr(p.Synthetic), p.Port})
	}
}

func relayed(port uint16) bool {
	return slices.Contains(firewall.RelayedPorts, policy.Port{Protocol: policy.TCP, Number: port})
}

// synthetic is the address of a name: the one that a hash of it gives, or the next that is free. So it is nearly always
// the same after a restart.
func (n *names) synthetic(name string) (netip.Addr, error) {
	if a, ok := n.address[name]; ok {
		return a, nil
	}
	if len(n.address) >= maxNames {
		return netip.Addr{}, fmt.Errorf("%d names have addresses already", maxNames)
	}
	sum := sha256.Sum256([]byte(name))
	size := uint32(1) << (32 - policy.NamePool.Bits())
	first := policy.NamePool.Addr().As4()
	base := binary.BigEndian.Uint32(first[:])
	for i := binary.BigEndian.Uint32(sum[:]) % size; ; i = (i + 1) % size {
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+i)))
		if last := byte(
			i,
		); last == 0 || last == 255 ||
			n.owner[a] != "" { // some programs take x.x.x.255 for a broadcast
			continue
		}
		n.address[name], n.owner[a] = a, name
		return a, nil
	}
}

// leads tells where a server's connection to a synthetic address and port goes.
func (n *names) leads(server netip.Addr, to netip.AddrPort) ([]netip.Addr, error) {
	n.mu.Lock()
	name, known := n.owner[to.Addr()]
	addrs := n.real[name]
	n.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%s is no name's", to.Addr())
	}
	if grant, ok := n.roster.Find(server, name); !ok || !grant.Opens(to.Port()) {
		return nil, errNotAllowed
	}
	usable := n.usable(server, addrs, to.Port())
	if len(usable) == 0 {
		return nil, fmt.Errorf("%s has no address that this server may reach", name)
	}
	return usable, nil
}

// set gives a server its list. What the kernel holds of the server goes unless it keeps it: a list that is the same.
func (n *names) set(server netip.Addr, own *policy.Allow) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	n.roster.Set(server, own)
	return n.end(func(w way, real netip.Addr) bool {
		grant, ok := n.roster.Find(server, n.owner[w.synthetic])
		return w.server == server && (!ok || !grant.Opens(w.port) || !n.roster.Leads(server, real, w.port))
	})
}

// forgetServer forgets everything of a server, and has the kernel forget it, before somebody else has its address.
func (n *names) forgetServer(server netip.Addr) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	n.roster.Drop(server)
	n.mu.Lock()
	maps.DeleteFunc(n.direct, func(w way, _ netip.Addr) bool { return w.server == server })
	n.mu.Unlock()
	return n.clear(server)
}

// forget forgets one name of a server, and has the kernel forget it: in one go, since the server may ask again.
func (n *names) forget(server netip.Addr, name string) error {
	n.writing.Lock()
	defer n.writing.Unlock()
	return n.end(func(w way, _ netip.Addr) bool { return w.server == server && n.owner[w.synthetic] == name })
}

// end takes the ways out of the kernel of which the function says so. Who calls it orders what goes there.
func (n *names) end(ends func(way, netip.Addr) bool) error {
	var gone []firewall.Name
	n.mu.Lock()
	for w, real := range n.direct {
		if ends(w, real) {
			delete(n.direct, w)
			gone = append(gone, w.to(real))
		}
	}
	n.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return n.write(nil, gone)
}

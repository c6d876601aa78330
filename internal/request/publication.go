package request

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// dockerPort is a port mapping of Docker (libnetwork's types.PortBinding).
type dockerPort struct {
	Proto       int
	Port        uint16
	HostIP      string
	HostPort    uint16
	HostPortEnd uint16
}

// ipProtoTCP is TCP's protocol number.
const ipProtoTCP = 6

// DockerPublications reads the ports of the host that a container's engine wants to lead to it. The gateway's address
// is not said.
func DockerPublications(options map[string]any) ([]topology.Publication, error) {
	if options[dockerPortMap] == nil {
		return nil, nil
	}
	var ports []dockerPort
	text, err := json.Marshal(options[dockerPortMap])
	if err == nil {
		err = json.Unmarshal(text, &ports)
	}
	if err != nil {
		return nil, problem.List{{Key: surface.Docker.Words.Ports, Value: string(text), Reason: err.Error()}}
	}
	var out []topology.Publication
	var problems problem.List
	for _, p := range ports {
		published, wrong := p.publication()
		out, problems = append(out, published), append(problems, wrong...)
	}
	return out, problems.Err()
}

// elsewhere is what to do with a port that mcpnet does not publish.
const elsewhere = "HOSTPORT:PORT of TCP; for others connect the gateway to a network where Docker publishes " +
	"(docker network connect bridge NAME) whose default route it takes"

func (d dockerPort) publication() (p topology.Publication, wrong problem.List) {
	refuse := func(reason string) {
		wrong = append(wrong, problem.Problem{Key: surface.Docker.Words.Ports, Value: d.text(), Reason: reason, Accepted: elsewhere})
	}
	if d.Proto != ipProtoTCP {
		refuse("mcpnet publishes TCP ports only")
	}
	if d.HostPort == 0 || (d.HostPortEnd != 0 && d.HostPortEnd != d.HostPort) {
		refuse("the host's port has to be one that is named")
	}
	p = topology.Publication{HostPort: d.HostPort, To: netip.AddrPortFrom(netip.Addr{}, d.Port)}
	if d.HostIP == "" {
		return p, wrong
	}
	address, err := netip.ParseAddr(d.HostIP)
	switch address = address.Unmap(); {
	case err != nil || !address.Is4():
		refuse("an mcpnet network is IPv4, and so is the host's address")
	case !address.IsUnspecified():
		p.HostIP = address
	}
	return p, wrong
}

func (d dockerPort) text() string {
	protocol := map[int]string{ipProtoTCP: "tcp", 17: "udp", 132: "sctp"}[d.Proto]
	return strings.TrimPrefix(fmt.Sprintf("%s:%d:%d/%s", d.HostIP, d.HostPort, d.Port, protocol), ":")
}

// Command oldstore uses the store of commit 82bb395. The tests build it in the tree of that commit.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(command, dir string) error {
	switch command {
	case "seed": // writes documents of every kind
		return seed(dir)
	case "open": // as Docker's plugin does
		s, err := store.Open(dir)
		if err != nil {
			return err
		}
		return show(s)
	case "shared": // as CNI and netavark do
		s, err := store.OpenShared(dir)
		if err != nil {
			return err
		}
		return locked(s)
	case "resident": // opens now and works later, once it gets a line
		s, err := store.OpenShared(dir)
		if err != nil {
			return err
		}
		fmt.Println("open")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		return locked(s)
	}
	return fmt.Errorf("no command %q", command)
}

func locked(s *store.Store) error {
	unlock, err := s.Lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(show(s), s.PutNetwork(secure()))
}

func show(s *store.Store) error {
	c, err := s.Load()
	if err != nil {
		return err
	}
	fmt.Println(len(c.Networks), "networks", len(c.Endpoints), "endpoints")
	return errors.Join(c.Problems...)
}

func secure() topology.Network {
	p, err := policy.Parse(map[string]string{
		policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp", policy.KeyEgress: "tcp/443,dns", policy.KeyCaps: "CHOWN",
	})
	if err != nil {
		panic(err)
	}
	return topology.Network{
		ID: "4f2a9c1e01234567", Name: "mcp-secure", Owner: topology.OwnerDocker, Bridge: "mcp-secure",
		Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"),
		IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: p,
	}
}

func pods() topology.Network {
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "10.1.0.2:80", policy.KeyEgress: "off"})
	if err != nil {
		panic(err)
	}
	return topology.Network{
		ID: "pods", Name: "pods", Owner: topology.OwnerCNI, Bridge: "cni0", Adopted: true, Policy: p,
		Subnet: netip.MustParsePrefix("10.1.0.0/24"), BridgeAddr: netip.MustParseAddr("10.1.0.1"),
	}
}

func endpoint(n topology.Network, id, addr string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(addr)
	return topology.Endpoint{
		ID: id, NetworkID: n.ID, Owner: n.Owner, Role: role,
		IP: a, MAC: topology.MACFor(n.ID, a), Container: "container-" + id,
	}
}

func seed(dir string) error {
	s, err := store.OpenShared(dir)
	if err != nil {
		return err
	}
	docker, cni, broken := secure(), pods(), pods()
	broken.ID = "broken"
	server := endpoint(docker, "server", "172.20.240.1", topology.RoleServer)
	server.Admission = topology.Admission{State: topology.Conforms, By: "mcpnet-runtime"}
	candidate := endpoint(docker, "candidate", "172.20.0.101", topology.RoleCandidate)
	candidate.Reason = "nothing shows that it was asked for"
	pod := endpoint(cni, "pod-eth0", "10.1.0.7", topology.RoleServer)
	pod.Interface, pod.NetNS = "eth0", 4026532345
	for _, err := range []error{
		s.PutNetwork(docker), s.PutPending(cni), s.PutNetwork(broken),
		s.PutEndpoint(endpoint(docker, "gateway", "172.20.0.100", topology.RoleGateway), true),
		s.PutEndpoint(server, true), s.PutEndpoint(candidate, false), s.PutEndpoint(pod, true),
		s.PutEndpoint(endpoint(broken, "lives", "10.1.0.9", topology.RoleServer), true),
		s.PutFact("features", "boot reset=true"), s.MarkSwept(cni.ID),
	} {
		if err != nil {
			return err
		}
	}
	if _, err := s.Claim(cni.ID, pod.IP, pod.ID); err != nil {
		return err
	}
	if _, _, err := s.Attaching(cni.ID, "killed"); err != nil {
		return err
	}
	// What a crash and a killed process leave.
	cut := filepath.Join(dir, "networks", broken.ID, "network.json")
	unfinished := filepath.Join(dir, "networks", cni.ID, "endpoints", "x.json.new")
	return errors.Join(os.Truncate(cut, 40), os.WriteFile(unfinished, []byte(`{"sche`), 0o600))
}

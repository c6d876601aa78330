package main

import (
	"fmt"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// requestedNetwork reads a CreateNetwork request.
func requestedNetwork(r *network.CreateNetworkRequest) (topology.Network, error) {
	if err := needID(r.NetworkID); err != nil {
		return topology.Network{}, err
	}
	n := request.DockerNetwork{ID: r.NetworkID, Options: r.Options, IPv6: len(r.IPv6Data) > 0}
	for _, d := range r.IPv4Data {
		if d != nil {
			n.IPv4 = append(n.IPv4, request.DockerPool{Subnet: d.Pool, Gateway: d.Gateway})
		}
	}
	return n.Words().Network()
}

// listedNetwork reads a network of the engine's list.
func listedNetwork(l docker.Network) (topology.Network, error) {
	return request.NetworkWords{Surface: surface.Docker, ID: l.ID, Name: l.Name, Options: l.Options, Subnet: l.Subnet,
		BridgeAddr: l.Gateway, Range: l.IPRange, IPv6: l.IPv6, Internal: l.Internal}.Network()
}

// requestedEndpoint reads a CreateEndpoint request.
func requestedEndpoint(n topology.Network, r *network.CreateEndpointRequest) (topology.Endpoint, error) {
	if err := needID(n.ID, r.EndpointID); err != nil {
		return topology.Endpoint{}, err
	}
	e := request.DockerEndpoint{ID: r.EndpointID, Options: r.Options}
	if r.Interface != nil {
		e.Address, e.MAC = r.Interface.Address, r.Interface.MacAddress
	}
	p, err := e.Words(n).Endpoint(n)
	if err != nil {
		return p, fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	return p, nil
}

// listedEndpoint reads an endpoint of the engine's list.
func listedEndpoint(n topology.Network, a docker.Attachment) (topology.Endpoint, error) {
	return request.DockerRecord{ID: a.EndpointID, Container: a.Container, Address: a.Address, MAC: a.MAC,
		Options: a.Options}.Words(n).Endpoint(n)
}

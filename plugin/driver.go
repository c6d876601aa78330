package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// driver answers the remote driver protocol. It never calls the Docker API, since Docker holds the container's lock
// during each call.
type driver struct {
	log   *slog.Logger
	ready chan struct{} // closed when engine or failure is set

	mu      sync.Mutex // of what follows
	engine  *resident.Front
	failure error                       // why there is no engine yet
	changed func()                      // wakes the engine sync
	forget  func(endpoint string) error // removes the endpoint's attestation
}

func newDriver(log *slog.Logger) *driver { return &driver{log: log, ready: make(chan struct{})} }

func (d *driver) serve(e *resident.Front, changed func(), forget func(endpoint string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine, d.failure, d.changed, d.forget = e, nil, changed, forget
	d.answer()
}

// refuse answers every call with the reason why nothing works, until serve. If the plugin ended, the user would only
// see a broken connection.
func (d *driver) refuse(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = cause
	d.answer()
}

// answer lets calls go on that wait.
func (d *driver) answer() {
	select {
	case <-d.ready:
	default:
		close(d.ready)
	}
}

func (d *driver) now() (*resident.Front, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.engine, d.failure
}

// call runs f in bounded time, once the plugin is ready.
func (d *driver) call(name string, f func(context.Context, *resident.Front) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	select {
	case <-d.ready:
	case <-ctx.Done():
		return errors.New("mcpnet: still bringing the networks up; try again")
	}
	e, failure := d.now()
	if failure != nil {
		return fmt.Errorf("mcpnet: %w", failure)
	}
	if err := f(ctx, e); err != nil {
		d.log.Warn(name, "error", err)
		return fmt.Errorf("mcpnet: %w", err)
	}
	return nil
}

// GetCapabilities answers before the plugin is ready, because the engine asks while it starts.
func (d *driver) GetCapabilities() (*network.CapabilitiesResponse, error) {
	return &network.CapabilitiesResponse{Scope: network.LocalScope, ConnectivityScope: network.LocalScope}, nil
}

func (d *driver) CreateNetwork(r *network.CreateNetworkRequest) error {
	err := d.call("create network", func(ctx context.Context, e *resident.Front) error {
		n, err := requestedNetwork(r)
		if err != nil {
			return err
		}
		return e.CreateNetwork(ctx, n)
	})
	if err == nil {
		d.changed()
	}
	return err
}

func (d *driver) DeleteNetwork(r *network.DeleteNetworkRequest) error {
	return d.call("delete network", func(ctx context.Context, e *resident.Front) error {
		return errors.Join(needID(r.NetworkID), e.DeleteNetwork(ctx, r.NetworkID))
	})
}

func (d *driver) CreateEndpoint(r *network.CreateEndpointRequest) (*network.CreateEndpointResponse, error) {
	response := &network.CreateEndpointResponse{}
	err := d.call("create endpoint", func(ctx context.Context, e *resident.Front) error {
		n, err := d.describedNetwork(ctx, e, r)
		if err != nil {
			return err
		}
		p, err := requestedEndpoint(n, r)
		if err != nil {
			return err
		}
		made, err := e.CreateEndpoint(ctx, p)
		if err == nil && r.Interface.MacAddress == "" {
			// The engine refuses an answer that repeats its own value.
			response.Interface = &network.EndpointInterface{MacAddress: made.MAC.String()}
		}
		return err
	})
	return response, err
}

func (d *driver) DeleteEndpoint(r *network.DeleteEndpointRequest) error {
	return d.call("delete endpoint", func(ctx context.Context, e *resident.Front) error {
		if err := needID(r.NetworkID, r.EndpointID); err != nil {
			return err
		}
		return errors.Join(e.DeleteEndpoint(ctx, r.NetworkID, r.EndpointID), d.forget(r.EndpointID))
	})
}

// Join gives a server no default route: with one the engine would ask the host's resolvers for the container. It gives
// nobody an interface on docker_gwbridge, which is full egress.
func (d *driver) Join(r *network.JoinRequest) (*network.JoinResponse, error) {
	response := &network.JoinResponse{DisableGatewayService: true}
	err := d.call("join", func(ctx context.Context, e *resident.Front) error {
		if err := needID(r.NetworkID, r.EndpointID); err != nil {
			return err
		}
		a, err := e.Join(ctx, r.NetworkID, r.EndpointID)
		if err != nil {
			return err
		}
		response.InterfaceName = network.InterfaceName{SrcName: a.Name, DstPrefix: "eth"}
		if a.Gateway.IsValid() {
			response.Gateway = a.Gateway.String()
		}
		for _, r := range a.Routes {
			response.StaticRoutes = append(response.StaticRoutes, &network.StaticRoute{Destination: r.Dst.String(), NextHop: r.Via.String()})
		}
		return nil
	})
	if err == nil {
		d.changed()
	}
	return response, err
}

func (d *driver) Leave(r *network.LeaveRequest) error {
	return d.call("leave", func(ctx context.Context, e *resident.Front) error {
		return errors.Join(needID(r.NetworkID, r.EndpointID), e.Leave(ctx, r.NetworkID, r.EndpointID))
	})
}

// EndpointInfo returns nothing.
func (d *driver) EndpointInfo(*network.InfoRequest) (*network.InfoResponse, error) {
	return &network.InfoResponse{Value: map[string]string{}}, nil
}

// ProgramExternalConnectivity publishes a gateway's ports. The engine calls it for the one network of a container over
// which its default route leads; RevokeExternalConnectivity where another network becomes that.
func (d *driver) ProgramExternalConnectivity(r *network.ProgramExternalConnectivityRequest) error {
	return d.call("publish ports", func(ctx context.Context, e *resident.Front) error {
		if err := needID(r.NetworkID, r.EndpointID); err != nil {
			return err
		}
		ports, err := request.DockerPublications(r.Options)
		if err != nil {
			return err
		}
		return e.Publish(ctx, r.NetworkID, r.EndpointID, ports)
	})
}

// RevokeExternalConnectivity takes them back.
func (d *driver) RevokeExternalConnectivity(r *network.RevokeExternalConnectivityRequest) error {
	return d.call("unpublish ports", func(ctx context.Context, e *resident.Front) error {
		return errors.Join(needID(r.NetworkID, r.EndpointID), e.Unpublish(ctx, r.NetworkID, r.EndpointID))
	})
}

// The calls below are for drivers that span hosts.

func (d *driver) AllocateNetwork(*network.AllocateNetworkRequest) (*network.AllocateNetworkResponse, error) {
	return nil, errors.New("mcpnet: networks of a swarm are not supported: " +
		"create the network with --scope local on each host")
}

func (d *driver) FreeNetwork(*network.FreeNetworkRequest) error { return nil }

func (d *driver) DiscoverNew(*network.DiscoveryNotification) error { return nil }

func (d *driver) DiscoverDelete(*network.DiscoveryNotification) error { return nil }

func findNetwork(ctx context.Context, e *resident.Front, id string) (topology.Network, error) {
	if err := needID(id); err != nil {
		return topology.Network{}, err
	}
	networks, err := e.Networks(ctx)
	if err != nil {
		return topology.Network{}, err
	}
	for _, n := range networks {
		if n.ID == id {
			return n, nil
		}
	}
	return topology.Network{}, fmt.Errorf("network %.12s: %w: the plugin's store was lost "+
		"and the engine's list is not read yet; start the container again",
		id, resident.ErrNoNetwork)
}

// describeTime bounds how long a gateway's start waits for the engine's list to show a network that was made just
// before. Two seconds were too few on a busy machine, and a gateway that starts without a default route gets one only
// at its next start.
const describeTime = 5 * time.Second

// describedNetwork finds the network. For an endpoint at a gateway's address it waits for the range that the engine
// assigns from: the range shows whether the address was asked for, and a default route can only be given now. The
// engine sync reads the range; this call does not ask the engine.
func (d *driver) describedNetwork(ctx context.Context, e *resident.Front,
	r *network.CreateEndpointRequest) (topology.Network, error) {
	n, err := findNetwork(ctx, e, r.NetworkID)
	if err != nil || r.Interface == nil {
		return n, err
	}
	address, _ := netip.ParsePrefix(r.Interface.Address)
	for end := time.Now().Add(describeTime); n.Policy.IsGateway(address.Addr()) && !n.IPRange.IsValid() &&
		time.Now().Before(end); {
		d.changed()
		time.Sleep(20 * time.Millisecond)
		if n, err = findNetwork(ctx, e, r.NetworkID); err != nil {
			return n, err
		}
	}
	return n, nil
}

// needID refuses a request without the id of its network or of its endpoint. The engine's retries can lack fields, and
// an empty id must not match anything.
func needID(ids ...string) error {
	for i, id := range ids {
		if id == "" {
			return fmt.Errorf("request without %s", [...]string{"NetworkID", "EndpointID"}[i])
		}
	}
	return nil
}

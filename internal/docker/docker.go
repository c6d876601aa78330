// Package docker asks a Docker engine for what a network driver is not told: names, ranges, whether an address was
// asked for, and what a container may do. List calls read a snapshot; an inspect waits for a lock that is held while
// the driver is called.
package docker

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// Client is a connection to an engine.
type Client struct {
	api *client.Client
	// owners are, by a container that shares a network namespace, the one whose it is: the containers in between may be
	// gone by now. One goroutine at a time asks for attachments.
	owners map[string]string
}

// Open prepares a client for the engine at a socket's path. Nothing is sent yet.
func Open(socket string) (*Client, error) {
	api, err := client.New(client.WithHost("unix://"+socket), client.WithAPIVersionFromEnv())
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &Client{api, map[string]string{}}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.api.Close() }

// Network is a network in the engine's list.
type Network struct {
	ID, Name string
	Driver   string
	Options  map[string]string
	Subnet   netip.Prefix
	IPRange  netip.Prefix // zero: the whole subnet
	Gateway  netip.Addr
	IPv6     bool
	Internal bool
}

// Networks lists the networks of drivers that the function accepts.
func (c *Client) Networks(ctx context.Context, ours func(driver string) bool) ([]Network, error) {
	listed, err := c.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker: list networks: %w", err)
	}
	var out []Network
	for _, n := range listed.Items {
		if !ours(n.Driver) {
			continue
		}
		found := Network{ID: n.ID, Name: n.Name, Driver: n.Driver, Options: n.Options, IPv6: n.EnableIPv6, Internal: n.Internal}
		if len(n.IPAM.Config) > 0 {
			found.addressing(n.IPAM.Config[0])
		}
		out = append(out, found)
	}
	return out, nil
}

// addressing takes a network's first pool. The engine's list leaves the gateway out where the user named none.
func (n *Network) addressing(c network.IPAMConfig) {
	n.Subnet, n.IPRange, n.Gateway = c.Subnet, c.IPRange, c.Gateway
	if !n.Gateway.IsValid() && c.Subnet.IsValid() {
		n.Gateway = firstAssigned(c.Subnet, c.IPRange)
	}
}

// firstAssigned is the address that the engine takes for the bridge by itself: the first of the range, even where that
// ends in zero, but never the subnet's own.
func firstAssigned(subnet, ipRange netip.Prefix) netip.Addr {
	first := subnet.Masked().Addr()
	if ipRange.IsValid() && ipRange.Masked().Addr() != first {
		return ipRange.Masked().Addr()
	}
	return first.Next()
}

// Attachment is a container's endpoint on a network, as the engine's list shows it.
type Attachment struct {
	NetworkID, EndpointID string
	Container             string
	ContainerID           string
	Running               bool
	Address               netip.Addr
	MAC                   string
	// Asked says that the address was asked for (--ip, Compose ipv4_address).
	Asked bool
	// Options are the endpoint's driver options.
	Options map[string]string
	// Others are the names of the container's other networks.
	Others []string
	// Sharers are the names of other running containers in its network namespace (--network container:ID).
	Sharers []string
}

// Attachments lists the endpoints of all containers.
func (c *Client) Attachments(ctx context.Context) ([]Attachment, error) {
	listed, err := c.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("docker: list containers: %w", err)
	}
	sharers := c.sharers(listed.Items)
	var out []Attachment
	for _, container := range listed.Items {
		if container.NetworkSettings == nil {
			continue
		}
		for _, e := range container.NetworkSettings.Networks {
			if e == nil || e.EndpointID == "" {
				continue
			}
			asked := e.IPAMConfig != nil && e.IPAMConfig.IPv4Address.IsValid() && e.IPAMConfig.IPv4Address == e.IPAddress
			out = append(out, Attachment{NetworkID: e.NetworkID, EndpointID: e.EndpointID, Container: containerName(container.Names),
				ContainerID: container.ID, Sharers: sharers[container.ID], Running: lives(string(container.State)), Address: e.IPAddress, MAC: e.MacAddress.String(), Asked: asked, Options: e.DriverOpts, Others: others(container.NetworkSettings.Networks, e.NetworkID)})
		}
	}
	return out, nil
}

// lives tells whether a container has processes. Those of a paused one go on when it is not watched any more.
func lives(state string) bool {
	return state == "running" || state == "paused" || state == "restarting"
}

// others names the networks but the one with an id.
func others(all map[string]*network.EndpointSettings, id string) (names []string) {
	for name, e := range all {
		if e == nil || e.NetworkID != id {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mostSharers bounds a chain of containers of which each joins the network namespace of the next.
const mostSharers = 16

// sharers names, by a container, the living ones that share its network namespace, directly or through others.
func (c *Client) sharers(listed []container.Summary) map[string][]string {
	target := map[string]string{} // through dead ones, too: those behind them live on in the namespace
	for _, s := range listed {
		if to, shares := strings.CutPrefix(s.HostConfig.NetworkMode, "container:"); shares {
			target[s.ID] = to
		}
	}
	out, owners := map[string][]string{}, map[string]string{}
	for _, s := range listed {
		owner, shares := target[s.ID]
		if !shares || !lives(string(s.State)) {
			continue
		}
		for range mostSharers {
			next, goesOn := target[owner]
			if !goesOn {
				break
			}
			owner = next
		}
		if !slices.ContainsFunc(listed, func(o container.Summary) bool { return o.ID == owner }) {
			owner = cmp.Or(c.owners[s.ID], owner)
		}
		owners[s.ID] = owner
		out[owner] = append(out[owner], containerName(s.Names))
	}
	c.owners = owners
	return out
}

func containerName(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return strings.TrimPrefix(names[0], "/")
}

// Record reads what a user asked for with a container. It waits while the engine starts or stops the container, so
// never call it where the engine waits for the caller.
func (c *Client) Record(ctx context.Context, id string) (r admission.Record, err error) {
	found, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return r, fmt.Errorf("docker: inspect container %.12s: %w", id, err)
	}
	h := found.Container.HostConfig
	if h == nil {
		return r, fmt.Errorf("docker: inspect container %.12s: no HostConfig", id)
	}
	return admission.Record{Privileged: h.Privileged, CapAdd: h.CapAdd, CapDrop: h.CapDrop, SecurityOpt: h.SecurityOpt,
		PID: string(h.PidMode), IPC: string(h.IpcMode), UTS: string(h.UTSMode)}, nil
}

// Changes reports, until the context ends or the connection breaks, that containers or networks changed.
func (c *Client) Changes(ctx context.Context, changed func()) error {
	stream := c.api.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.
		Add("type", "container", "network").Add("event", "start", "die", "pause", "unpause", "connect", "disconnect", "create", "destroy")})
	for {
		select {
		case <-stream.Messages:
			changed()
		case err := <-stream.Err:
			return fmt.Errorf("docker: events: %w", err)
		}
	}
}

// Package docker asks a Docker engine for what a network driver is not told: names, ranges, whether an address was
// asked for, and what a container may do. List calls read a snapshot; an inspect waits for a lock that is held while
// the driver is called.
package docker

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// Client is a connection to an engine.
type Client struct{ api *client.Client }

// Open prepares a client for the engine at a socket's path. Nothing is sent yet.
func Open(socket string) (*Client, error) {
	api, err := client.New(client.WithHost("unix://"+socket), client.WithAPIVersionFromEnv())
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &Client{api}, nil
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
}

// Container is a container, as the engine's list shows it.
type Container struct {
	ID, Name string
	Living   bool
	// Network is its network mode, which may be "container:ID".
	Network string
}

// List is what the engine's list of containers shows.
type List struct {
	Containers  []Container
	Attachments []Attachment
}

// Containers lists all containers, and the endpoints that they have.
func (c *Client) Containers(ctx context.Context) (l List, err error) {
	listed, err := c.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return l, fmt.Errorf("docker: list containers: %w", err)
	}
	for _, s := range listed.Items {
		found := Container{s.ID, containerName(s.Names), lives(string(s.State)), s.HostConfig.NetworkMode}
		l.Containers = append(l.Containers, found)
		if s.NetworkSettings != nil {
			l.Attachments = append(l.Attachments, attachments(found, s.NetworkSettings.Networks)...)
		}
	}
	return l, nil
}

func attachments(c Container, networks map[string]*network.EndpointSettings) (out []Attachment) {
	for _, e := range networks {
		if e == nil || e.EndpointID == "" {
			continue
		}
		asked := e.IPAMConfig != nil && e.IPAMConfig.IPv4Address.IsValid() && e.IPAMConfig.IPv4Address == e.IPAddress
		out = append(out, Attachment{NetworkID: e.NetworkID, EndpointID: e.EndpointID, Container: c.Name, ContainerID: c.ID, Running: c.Living,
			Address: e.IPAddress, MAC: e.MacAddress.String(), Asked: asked, Options: e.DriverOpts, Others: others(networks, e.NetworkID)})
	}
	return out
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
	if found.Container.HostConfig == nil {
		return r, fmt.Errorf("docker: inspect container %.12s: no HostConfig", id)
	}
	r = recordOf(found.Container.HostConfig)
	r.Mounts, err = c.mounted(ctx, found.Container.Mounts)
	return r, err
}

func recordOf(h *container.HostConfig) admission.Record {
	r := admission.Record{Privileged: h.Privileged, CapAdd: h.CapAdd, CapDrop: h.CapDrop, SecurityOpt: h.SecurityOpt,
		PID: string(h.PidMode), IPC: string(h.IpcMode), UTS: string(h.UTSMode),
		MaskedPaths: h.MaskedPaths, ReadonlyPaths: h.ReadonlyPaths, DeviceRules: h.DeviceCgroupRules}
	for _, d := range h.Devices {
		r.Devices = append(r.Devices, d.PathOnHost)
	}
	return r
}

// mounted are what of the host is mounted in a container. A volume of Docker's own driver may be one by its
// options (docker volume create -o o=bind -o device=PATH); another driver says where it has what it gives.
func (c *Client) mounted(ctx context.Context, mounts []container.MountPoint) (out []admission.Mount, err error) {
	for _, m := range mounts {
		switch {
		case m.Type == mount.TypeBind:
			out = append(out, admission.Mount{Source: m.Source, ReadOnly: !m.RW})
		case m.Type == mount.TypeVolume && m.Driver == "local":
			volume, err := c.api.VolumeInspect(ctx, m.Name, client.VolumeInspectOptions{})
			if err != nil {
				return nil, fmt.Errorf("docker: volume %s: %w", m.Name, err)
			}
			out = append(out, hostMounts(volume.Volume.Options, !m.RW)...)
		case m.Type == mount.TypeVolume:
			out = append(out, admission.Mount{Source: m.Source, ReadOnly: !m.RW})
		}
	}
	return out, nil
}

// remoteTypes are types of file systems whose device is no path of the host.
var remoteTypes = []string{"tmpfs", "nfs", "nfs4", "cifs", "smb3"}

// hostMounts are what of the host the options of a local volume mount: its device, the layers of an overlay, and for the
// kernel's own file systems where the host has those. A relative path begins at the root, where an engine works.
func hostMounts(options map[string]string, readOnly bool) (out []admission.Mount) {
	if device := options["device"]; device != "" && !slices.Contains(remoteTypes, options["type"]) {
		out = append(out, admission.Mount{Source: path.Join("/", device), ReadOnly: readOnly})
	}
	if usual, ok := admission.KernelPlaces[options["type"]]; ok {
		out = append(out, admission.Mount{Source: usual, ReadOnly: readOnly})
	}
	return append(out, admission.Layers(strings.Split(options["o"], ","))...)
}

// Change is an event of the engine.
type Change struct {
	// Connected and Disconnected say that a container was connected to a network, or disconnected.
	Connected, Disconnected bool
	Container               string // its id
	NetworkID, Network      string // id and name
}

// Changes reports, until the context ends or the connection breaks, that containers or networks changed.
func (c *Client) Changes(ctx context.Context, changed func(Change)) error {
	stream := c.api.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.
		Add("type", "container", "network").Add("event", "start", "die", "pause", "unpause", "connect", "disconnect", "create", "destroy")})
	for {
		select {
		case m := <-stream.Messages:
			changed(changeOf(m))
		case err := <-stream.Err:
			return fmt.Errorf("docker: events: %w", err)
		}
	}
}

func changeOf(m events.Message) Change {
	if m.Type != events.NetworkEventType {
		return Change{Container: m.Actor.ID}
	}
	return Change{Connected: m.Action == events.ActionConnect, Disconnected: m.Action == events.ActionDisconnect,
		Container: m.Actor.Attributes["container"], NetworkID: m.Actor.ID, Network: m.Actor.Attributes["name"]}
}

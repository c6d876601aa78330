package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/strictjson"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Docker gives an OCI runtime neither names nor labels nor networks. Its own record of a container lies beside the
// files that it mounts into each: DIR/containers/ID/{hostname,hosts,resolv.conf}.

// defaultDockerRoot is the engine's directory where nothing tells another.
const defaultDockerRoot = "/var/lib/docker"

// record is what the engine keeps of a container.
type record struct {
	root     string // the engine's directory
	id       string
	networks map[string]endpointRecord // by the network's name as the user gave it
	mode     string                    // HostConfig.NetworkMode
}

// endpointRecord is network.EndpointSettings of the engine's API.
type endpointRecord struct {
	NetworkID  string
	IPAMConfig *struct{ IPv4Address string }
	DriverOpts map[string]string
}

// findRecord finds the engine's record of the container; ok is false for a container that is not one of Docker's.
func findRecord(d *oci.Document, id string) (r record, ok bool, err error) {
	sources, err := d.Sources()
	if err != nil {
		return r, false, err
	}
	roots := []string{}
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		containers := filepath.Dir(filepath.Dir(sources[file]))
		if root := filepath.Dir(containers); filepath.Base(containers) == "containers" &&
			!slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	for _, root := range append(roots, defaultDockerRoot) {
		r, err := readRecord(root, id)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return r, err == nil, err
		}
	}
	return r, false, nil
}

func readRecord(root, id string) (record, error) {
	r := record{root: root, id: id}
	dir := filepath.Join(root, "containers", id)
	if id == "" || id != filepath.Base(id) {
		return r, fmt.Errorf("container %q: not an id", id)
	}
	var config struct {
		NetworkSettings struct{ Networks map[string]endpointRecord }
	}
	var host struct{ NetworkMode string }
	for name, into := range map[string]any{"config.v2.json": &config, "hostconfig.json": &host} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return r, fmt.Errorf("the record of Docker: %w", err)
		}
		if err := strictjson.Unmarshal(data, into); err != nil {
			return r, fmt.Errorf("the record of Docker, %s: %w; remove the container and make it anew", path, err)
		}
	}
	r.networks, r.mode = config.NetworkSettings.Networks, host.NetworkMode
	return r, nil
}

// otherModes are network modes that are never an mcpnet network.
var otherModes = []string{"", "default", "bridge", "host", "none"}

// attachment finds the container's mcpnet networks. A document that cannot be read does not stop containers of other
// networks: start looks again, at the wires that are there by then.
func (r record) attachment() (attachment, error) {
	owner, err := r.owner()
	if err != nil {
		return attachment{}, err
	}
	a := owner.named()
	if len(a.servers()) == 0 {
		return a, nil
	}
	switch {
	case owner.id != r.id:
		a.problems = append(a.problems, fmt.Sprintf("shares the network namespace of container %.12s", owner.id))
	case len(owner.networks) > 1 && a.guarded():
		a.problems = append(a.problems, fmt.Sprintf("is on %d networks", len(owner.networks)))
	}
	return a, nil
}

// mostSharers bounds a chain of containers of which each joins the network namespace of the next. Docker does not.
const mostSharers = 16

// owner is the container whose network namespace this one joins, or itself.
func (r record) owner() (record, error) {
	for range mostSharers {
		target, shares := strings.CutPrefix(r.mode, "container:")
		if !shares {
			return r, nil
		}
		next, err := readRecord(r.root, target)
		if err != nil {
			return r, fmt.Errorf("network namespace of container %.12s: %w", target, err)
		}
		r = next
	}
	return r, fmt.Errorf("network namespace of container %.12s: too many containers share it, "+
		"each that of the next", r.id)
}

const (
	// nameTime is how long a network that was just made may take to get the name that the user knows it by: Docker
	// tells a driver only its id.
	nameTime  = 3 * time.Second
	namePause = 30 * time.Millisecond
)

// named finds the container's networks among mcpnet's.
func (r record) named() (a attachment) {
	wanted := maps.Clone(r.networks)
	if len(wanted) == 0 {
		wanted = map[string]endpointRecord{r.mode: {}}
	}
	for _, name := range otherModes {
		delete(wanted, name)
	}
	for end := time.Now().Add(nameTime); len(wanted) > 0; time.Sleep(namePause) {
		var unnamed bool
		if a, unnamed = match(wanted, r.known()); !unnamed || time.Now().After(end) {
			break
		}
	}
	return a
}

// match finds networks of a container by what the user wrote. unnamed reports that a network without a name yet
// could be one that was not found.
func match(wanted map[string]endpointRecord, all []store.Network) (a attachment, unnamed bool) {
	nameless := slices.ContainsFunc(all, func(n store.Network) bool { return n.Name == "" })
	for name, e := range wanted {
		before := len(a.endpoints)
		for _, n := range all {
			if e.isOn(name, n) {
				a.endpoints = append(a.endpoints, endpoint{network: n.Network, trusted: e.isGateway(n)})
			}
		}
		unnamed = unnamed || (nameless && len(a.endpoints) == before)
	}
	return a, unnamed
}

// partialID is the fewest digits of an id that people write.
const partialID = 4

// isOn reports whether a network of the record is one of mcpnet's: by its id, its name, or the part of its id that
// the user wrote.
func (e endpointRecord) isOn(name string, n store.Network) bool {
	return n.ID == e.NetworkID || n.ID == name || n.Name == name ||
		(len(name) >= partialID && strings.HasPrefix(n.ID, name))
}

// known are all networks of Docker's plugin whose documents can be read.
func (r record) known() (all []store.Network) {
	for _, s := range stores(r.root) {
		networks, _ := s.Networks()
		all = append(all, slices.DeleteFunc(networks,
			func(n store.Network) bool { return n.Owner != topology.OwnerDocker })...)
	}
	return all
}

// isGateway reports whether the user made the container a gateway: by its role, or by asking for a gateway's address.
func (e endpointRecord) isGateway(n store.Network) bool {
	if e.DriverOpts[policy.KeyRole] == string(policy.RoleGateway) {
		return true
	}
	if e.IPAMConfig == nil {
		return false
	}
	a, err := netip.ParseAddr(e.IPAMConfig.IPv4Address)
	return err == nil && n.Policy.IsGateway(a)
}

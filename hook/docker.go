package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
)

// Docker gives an OCI runtime neither names nor labels nor networks. Its own record of a container lies beside the files
// that it mounts into each: DIR/containers/ID/{hostname,hosts,resolv.conf}.

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
	for _, place := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		containers := filepath.Dir(filepath.Dir(sources[place]))
		if root := filepath.Dir(containers); filepath.Base(containers) == "containers" && !slices.Contains(roots, root) {
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
		if err := json.Unmarshal(data, into); err != nil {
			return r, fmt.Errorf("the record of Docker, %s: %w; remove the container and make it anew", path, err)
		}
	}
	r.networks, r.mode = config.NetworkSettings.Networks, host.NetworkMode
	return r, nil
}

// plain are network modes that are never an mcpnet network.
var plain = []string{"", "default", "bridge", "host", "none"}

// place finds the container's mcpnet networks.
func (r record) place() (place, error) {
	if target, shares := strings.CutPrefix(r.mode, "container:"); shares {
		return r.sharedPlace(target)
	}
	named := map[string]endpointRecord{}
	for name, e := range r.networks {
		named[name] = e
	}
	if _, known := named[r.mode]; !known && len(named) == 0 {
		named[r.mode] = endpointRecord{}
	}
	all, unknown := r.known()
	var p place
	for name, e := range named {
		if slices.Contains(plain, name) {
			continue
		}
		if unknown != nil {
			return p, unreadable(unknown)
		}
		for _, n := range all {
			if n.ID == e.NetworkID || n.ID == name || n.Name == name {
				p.members = append(p.members, member{network: n.Network, trusted: e.isGateway(n)})
			}
		}
	}
	if len(p.servers()) > 0 && len(named) > 1 && p.enforced() {
		p.problems = append(p.problems, fmt.Sprintf("is on %d networks", len(named)))
	}
	return p, nil
}

// sharedPlace is that of the container whose network namespace this one joins.
func (r record) sharedPlace(target string) (place, error) {
	other, err := readRecord(r.root, target)
	if err != nil {
		return place{}, err
	}
	if strings.HasPrefix(other.mode, "container:") {
		return place{}, nil // the engine refuses that
	}
	p, err := other.place()
	if len(p.servers()) > 0 {
		p.problems = append(p.problems, fmt.Sprintf("shares the network namespace of container %.12s", target))
	}
	return p, err
}

// known reads all networks of Docker's plugin.
func (r record) known() (all []store.Network, err error) {
	for _, s := range stores(r.root) {
		networks, err := s.Networks()
		if err != nil {
			return nil, err
		}
		all = append(all, networks...)
	}
	return all, nil
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

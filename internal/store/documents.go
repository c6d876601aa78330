package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/store/internal/format"
	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// documents is a directory that holds a directory for each network.
type documents string

// extension ends the names of documents.
const extension = ".json"

func (d documents) of(network string) string { return filepath.Join(string(d), network) }

func (d documents) network(id string) string { return filepath.Join(d.of(id), "network"+extension) }

func (d documents) endpoint(network, id string) string {
	return filepath.Join(d.of(network), "endpoints", id+extension)
}

// networks lists the ids of networks.
func (d documents) networks() (ids []string, err error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// endpoints lists the ids of a network's endpoints. It skips what a killed process has not finished.
func (d documents) endpoints(network string) (ids []string, err error) {
	entries, err := os.ReadDir(filepath.Join(d.of(network), "endpoints"))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), extension); ok && !atomicfile.IsTemporary(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (d documents) readNetwork(id string) (n Network, err error) {
	err = read(format.OfNetwork, d.network(id), &n)
	if errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("store: network %s: %w", id, err)
	}
	if err == nil {
		err = n.check(id)
	}
	if err != nil {
		return Network{}, newProblem(d.network(id), Ref{Network: id}, err)
	}
	return n, nil
}

func (d documents) readEndpoint(network, id string) (e Endpoint, err error) {
	err = read(format.OfEndpoint, d.endpoint(network, id), &e)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("store: endpoint %s: %w", id, err)
	}
	if err == nil {
		err = e.check(network, id)
	}
	if err != nil {
		return Endpoint{}, newProblem(d.endpoint(network, id), Ref{network, id}, err)
	}
	return e, nil
}

func (d documents) readNetworks() (networks []Network, err error) {
	ids, err := d.networks()
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var failed []error
	for _, id := range ids {
		n, err := d.readNetwork(id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is being made or removed
		case err != nil:
			failed = append(failed, err)
		default:
			networks = append(networks, n)
		}
	}
	return networks, errors.Join(failed...)
}

// load reads everything.
func (d documents) load() (c Contents, err error) {
	ids, err := d.networks()
	if err != nil {
		return c, err
	}
	for _, id := range ids {
		d.loadNetwork(id, &c)
	}
	return c, nil
}

func (d documents) loadNetwork(id string, c *Contents) {
	endpoints, err := d.endpoints(id)
	if err = ignoreMissing(err); err != nil {
		c.problem(newProblem(d.of(id), Ref{Network: id}, err))
	}
	n, err := d.readNetwork(id)
	switch {
	case err == nil:
		c.Networks = append(c.Networks, n)
	case !errors.Is(err, fs.ErrNotExist) || len(endpoints) > 0:
		c.problem(asProblem(err, d.network(id), Ref{Network: id}))
	default: // it is being made, or a process was killed that made or removed it
	}
	for _, endpoint := range endpoints {
		e, err := d.readEndpoint(id, endpoint)
		switch {
		case err == nil:
			c.Endpoints = append(c.Endpoints, e)
		case !errors.Is(err, fs.ErrNotExist): // one that is missing was removed meanwhile
			c.problem(asProblem(err, d.endpoint(id, endpoint), Ref{id, endpoint}))
		}
	}
}

// problem records a document that cannot be read. The ids in its path and those in its text are spared.
func (c *Contents) problem(p *Problem) {
	c.Problems = append(c.Problems, p)
	c.Unreadable = append(c.Unreadable, p.Ref)
	if said, ok := p.said(); ok {
		c.Unreadable = append(c.Unreadable, said)
	}
}

// read reads a document of any schema that there was.
func read(k format.Kind, path string, document any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := strictjson.Check(data, document); err != nil {
		return err
	}
	if data, err = format.Convert(k, data); err != nil {
		return err
	}
	return json.Unmarshal(data, document)
}

// contradiction says that a document is in order, but not about what its path names, or lacks what it needs.
type contradiction struct {
	about Ref
	said  Ref
}

func (c contradiction) Error() string {
	if c.about.Endpoint == "" {
		return "does not describe network " + c.about.Network
	}
	return fmt.Sprintf("does not describe endpoint %s of network %s", c.about.Endpoint, c.about.Network)
}

func (n Network) check(id string) error {
	if n.ID != id || n.Owner == "" || n.Bridge == "" || !n.Subnet.IsValid() || !n.BridgeAddr.Is4() {
		return contradiction{Ref{Network: id}, Ref{Network: n.ID}}
	}
	return nil
}

func (e Endpoint) check(network, id string) error {
	if e.NetworkID != network || e.ID != id || e.Owner == "" || e.Role == "" || !e.IP.Is4() || len(e.MAC) == 0 {
		return contradiction{Ref{network, id}, Ref{e.NetworkID, e.ID}}
	}
	return nil
}

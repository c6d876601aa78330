package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// word is where the deciding process looks for what this one knows.
var word = attest.In("/run/" + attest.Dir)

// wrapper acts on one call of an engine.
type wrapper struct {
	call      oci.Call
	selective bool // only containers on mcpnet networks
	real      string
}

func (w wrapper) intercept() error {
	switch w.call.Command {
	case "create", "run":
		return w.create()
	case "restore":
		return w.restore()
	case "exec":
		return w.exec()
	case "start":
		return w.start()
	case "delete":
		return w.forget()
	}
	return nil
}

// create hardens a bundle before the real runtime reads it.
func (w wrapper) create() error {
	d, p, err := w.read()
	if err != nil || !p.concerned(w.selective) {
		return err
	}
	problems, err := d.Breaches()
	if err != nil {
		return err
	}
	if problems = append(problems, p.problems...); len(problems) > 0 {
		return w.refuse(p, problems)
	}
	if err := d.Harden(p.allowed()); err != nil {
		return err
	}
	return d.Write()
}

// restore refuses containers whose processes come out of a checkpoint, with the capabilities that they had.
func (w wrapper) restore() error {
	_, p, err := w.read()
	if err != nil || !p.concerned(w.selective) {
		return err
	}
	return w.refuse(p, []string{"comes from a checkpoint, which says itself what its processes hold: start it anew"})
}

// read reads the bundle of a container that is to be made, and finds its place.
func (w wrapper) read() (*oci.Document, place, error) {
	d, err := oci.Read(w.call.Config())
	if err != nil {
		return nil, place{}, fmt.Errorf("bundle: %w", err)
	}
	p, err := placeOf(d, w.call.ID())
	return d, p, err
}

func (w wrapper) refuse(p place, problems []string) error {
	return fmt.Errorf("container %.12s%s %s. Remedy: start it without --privileged, host namespaces (--network, --pid, --ipc, --uts host) and "+
		"--network container:…, on one network, or off mcpnet networks", w.call.ID(), p.where(), strings.Join(problems, "; "))
}

// exec holds a process that is executed later to what its container was hardened to. Engines describe it by themselves, with
// what they know of the container.
func (w wrapper) exec() error {
	_, d, err := w.container()
	if err != nil {
		return err
	}
	allowed, hardened, err := d.Hardened()
	if err != nil {
		return err
	}
	if !hardened && w.selective {
		return nil
	}
	if !hardened {
		allowed = policy.DefaultCaps
	}
	path := w.call.Process()
	if path == "" {
		return checkAdded(w.call.AddedCaps(), allowed)
	}
	process, err := oci.Read(path)
	if err != nil {
		return fmt.Errorf("process document: %w", err)
	}
	if err := process.HardenProcess(allowed); err != nil {
		return err
	}
	return process.Write()
}

func checkAdded(names []string, allowed policy.Caps) error {
	for _, name := range names {
		if c, ok := policy.Cap(name); !ok || c.Minus(allowed) != 0 {
			return fmt.Errorf("exec --cap %s: this container holds no more than %s", name, allowed)
		}
	}
	return nil
}

// container reads the state and the bundle of a container that exists.
func (w wrapper) container() (oci.State, *oci.Document, error) {
	if w.call.ID() == "" {
		return oci.State{}, nil, fmt.Errorf("%s: the container's id is missing", w.call.Command)
	}
	s, err := oci.ReadState(w.call.Roots(), w.call.ID())
	if err != nil {
		asked, failed := w.call.AskState(w.real)
		if failed != nil {
			return s, nil, fmt.Errorf("%w; %w", err, failed)
		}
		s = asked
	}
	d, err := oci.Read(filepath.Join(s.Bundle, oci.ConfigFile))
	if err != nil {
		return s, nil, fmt.Errorf("bundle: %w", err)
	}
	return s, d, nil
}

// start is the last moment before a container's own program runs, and on every engine one at which its interfaces are
// there. Where the policy is enforced a container that does not conform stops here; one that conforms is attested.
func (w wrapper) start() error {
	s, d, err := w.container()
	if err != nil {
		return err
	}
	p, err := placeIn(fmt.Sprintf("/proc/%d/ns/net", s.PID), storesFor(d, w.call.ID()))
	if err != nil {
		return err
	}
	allowed, hardened, err := d.Hardened()
	if err != nil {
		return err
	}
	if hardened { // it may be connected to an mcpnet network later
		if err := leave(word.Harden(attest.Hardened{Container: w.call.ID(), Caps: allowed})); err != nil {
			return err
		}
	}
	if w.selective && !hardened {
		if err := missed(d, p, w.call.ID()); err != nil {
			return err
		}
	}
	return admit(d, p, w.call.ID())
}

// missed stops a server that was not known to be one when it was created, so that it holds what it was not to hold. Whatever
// the network's mode is: a default runtime that lets such a container pass would be none.
func missed(d *oci.Document, p place, id string) error {
	excess, err := p.excess(d)
	if err == nil && len(excess) > 0 {
		err = fmt.Errorf("container %.12s%s was not known to be on an mcpnet network when it was created, and %s. Remedy: start it once more, or with --runtime mcpnet",
			id, p.where(), strings.Join(excess, "; "))
	}
	return err
}

// forget takes back what start has said. An engine removes containers whatever that meets.
func (w wrapper) forget() error {
	if id := w.call.ID(); id != "" {
		_ = word.ForgetContainer(id)
	}
	return nil
}

// leave says what it means that word cannot be left.
func leave(err error) error {
	if err != nil {
		return fmt.Errorf("%w (is /run/%s writable?)", err, attest.Dir)
	}
	return nil
}

// admit attests a container that conforms to the policy of its networks, and refuses one that does not where they enforce it.
func admit(d *oci.Document, p place, id string) error {
	servers := p.servers()
	if len(servers) == 0 {
		return nil
	}
	problems, err := d.Breaches()
	if err != nil {
		return err
	}
	excess, err := p.excess(d)
	if err != nil {
		return err
	}
	if problems = slices.Concat(problems, p.problems, excess); len(problems) > 0 {
		if p.enforced() {
			return fmt.Errorf("container %.12s%s %s; mcpnet.caps.mode=enforce lets no such container start. Remedy: --runtime mcpnet, and one network",
				id, p.where(), strings.Join(problems, "; "))
		}
		return nil
	}
	for _, m := range servers {
		a := attest.Attestation{Network: m.network.ID, Endpoint: m.endpoint, Container: id, Caps: m.network.Policy.Caps}
		if err := leave(word.Attest(a)); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/procfs"
)

// attestations are what the runtime attests of containers, for the process that admits them.
var attestations = attest.In("/run/" + attest.Dir)

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
	d, a, err := w.read()
	if err != nil || !a.concerned(w.selective) {
		return err
	}
	network, err := d.NetNS()
	if err != nil {
		return err
	}
	problems, err := breaches(d, network)
	if err != nil {
		return err
	}
	if problems = append(problems, a.problems...); len(problems) > 0 {
		return w.refuse(a, problems)
	}
	if err := d.Harden(a.allowed()); err != nil {
		return err
	}
	return d.Write()
}

// restore refuses containers whose processes come out of a checkpoint, with the capabilities that they had.
func (w wrapper) restore() error {
	_, a, err := w.read()
	if err != nil || !a.concerned(w.selective) {
		return err
	}
	return w.refuse(a, []string{"comes from a checkpoint, which says itself what its processes hold: start it anew"})
}

// read reads the bundle of a container that is to be made, and finds its attachment.
func (w wrapper) read() (*oci.Document, attachment, error) {
	d, err := oci.Read(w.call.Config())
	if err != nil {
		return nil, attachment{}, fmt.Errorf("bundle: %w", err)
	}
	d.In(w.call.Bundle())
	a, err := attachmentOf(d, w.call.ID())
	return d, a, err
}

// remedy is what makes a container conform that has a way past its network.
const remedy = "start it without --privileged, without namespaces of the host or of another container (--network, --pid, " +
	"--ipc, --uts), without those mounts and devices (-v, --mount, --device), without --security-opt systempaths=unconfined, " +
	"on one network, or off mcpnet networks"

func (w wrapper) refuse(a attachment, problems []string) error {
	return fmt.Errorf("container %.12s%s %s. Remedy: "+remedy, w.call.ID(), a.networks(), strings.Join(problems, "; "))
}

// exec hardens a process that is executed later as its container was hardened. Engines make its document from what they
// know of the container, which is not what the runtime made of it.
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
	process, err := oci.ReadProcess(path)
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

// start is the last call before a container's own program runs, and on every engine the interfaces are there by
// then. It attests a container that conforms, and refuses one that does not where the policy is enforced.
func (w wrapper) start() error {
	s, d, err := w.container()
	if err != nil {
		return err
	}
	a, err := attachmentIn(procfs.NetNS(s.PID), storesFor(d, w.call.ID()))
	if err != nil {
		return err
	}
	allowed, hardened, err := d.Hardened()
	if err != nil {
		return err
	}
	if hardened { // it may be connected to an mcpnet network later
		if err := explain(attestations.Harden(attest.Hardened{Container: w.call.ID(), Caps: allowed})); err != nil {
			return err
		}
	}
	if w.selective && !hardened {
		if err := missed(d, a, w.call.ID(), procfs.NetNS(s.PID)); err != nil {
			return err
		}
	}
	return admit(d, a, w.call.ID(), procfs.NetNS(s.PID))
}

// missed stops a server that was not known to be one at create, so that nothing hardened it. It does so in every
// mode of the network: a default runtime that lets such a container start would protect nothing.
func missed(d *oci.Document, a attachment, id, network string) error {
	if len(a.servers()) == 0 {
		return nil
	}
	problems, err := breaches(d, network)
	if err != nil {
		return err
	}
	excess, err := a.excess(d)
	if problems = append(problems, excess...); err == nil && len(problems) > 0 {
		err = fmt.Errorf("container %.12s%s was not known to be on an mcpnet network when it was created, and %s. "+
			"Remedy: start it once more, or with --runtime mcpnet",
			id, a.networks(), strings.Join(problems, "; "))
	}
	return err
}

// forget removes what start has attested. An engine's delete must not fail because of it.
func (w wrapper) forget() error {
	if id := w.call.ID(); id != "" {
		_ = attestations.ForgetContainer(id)
	}
	return nil
}

// explain adds to an error of attesting what may be the cause.
func explain(err error) error {
	if err != nil {
		return fmt.Errorf("%w (is /run/%s writable?)", err, attest.Dir)
	}
	return nil
}

// admit attests a container that conforms to the policy of its networks, and refuses one that does not where they
// enforce it. The network namespace is the container's.
func admit(d *oci.Document, a attachment, id, network string) error {
	servers := a.servers()
	if len(servers) == 0 {
		return nil
	}
	open, err := breaches(d, network)
	if err != nil {
		return err
	}
	open = append(open, a.problems...)
	excess, err := a.excess(d)
	if err != nil {
		return err
	}
	if problems := slices.Concat(open, excess); len(problems) > 0 {
		if len(open) > 0 && a.guarded() || a.enforced() {
			return fmt.Errorf("container %.12s%s %s; the network's mcpnet.caps.mode lets no such container start. "+
				"Remedy: --runtime mcpnet, and one network",
				id, a.networks(), strings.Join(problems, "; "))
		}
		return nil
	}
	for _, e := range servers {
		attested := attest.Attestation{Network: e.network.ID, Endpoint: e.id, Container: id,
			Caps: e.network.Policy.Caps}
		if err := explain(attestations.Attest(attested)); err != nil {
			return err
		}
	}
	return nil
}

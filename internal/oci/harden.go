package oci

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// CapsAnnotation marks a bundle that was hardened, with the capabilities that its processes may hold. Processes that
// are executed later are held to it.
const CapsAnnotation = "io.mcpnet.caps"

// kept are the capability sets of a process that are cut down. The ambient set is removed: a process that is not root
// would hold what is in it.
var kept = []string{"bounding", "effective", "inheritable", "permitted"}

// Harden takes every capability that is not allowed from a bundle's process, sets no_new_privileges, keeps it from
// sockets that no network namespace confines, and marks the bundle.
func (d *Document) Harden(allowed policy.Caps) error {
	process, err := d.root.child("process")
	if err == nil && process == nil {
		err = errNoProcess
	}
	if err == nil {
		err = process.harden(allowed)
	}
	if err == nil {
		err = d.root.put("process", process)
	}
	if err == nil {
		err = d.refuseAnnotations()
	}
	if err == nil {
		err = d.confineSockets()
	}
	if err == nil {
		err = d.annotate(CapsAnnotation, allowed.String())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	return nil
}

// overrides begin the names of annotations by which crun takes something else than what the bundle says of it: a seccomp
// filter as it stands, or another way to run the container (crun(1), "Extensions to OCI"). An image may bring them.
var overrides = []string{"run.oci.seccomp", "run.oci.handler"}

func (d *Document) refuseAnnotations() error {
	annotations, err := d.root.child("annotations")
	if err != nil {
		return err
	}
	for name := range annotations {
		for _, o := range overrides {
			if strings.HasPrefix(name, o) {
				return fmt.Errorf("annotation %s sets the runtime's protection aside: remove it from the image or the command", name)
			}
		}
	}
	return nil
}

// HardenProcess is Harden for the process document of an exec.
func (d *Document) HardenProcess(allowed policy.Caps) error {
	if err := d.root.harden(allowed); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	return nil
}

func (process object) harden(allowed policy.Caps) error {
	sets, err := process.child("capabilities")
	if err != nil {
		return err
	}
	if sets == nil {
		sets = object{}
	}
	for _, name := range kept {
		have, err := sets.names(name)
		if err != nil {
			return err
		}
		if err := sets.put(name, permitted(have, allowed)); err != nil {
			return err
		}
	}
	delete(sets, "ambient")
	if err := process.put("capabilities", sets); err != nil {
		return err
	}
	return process.put("noNewPrivileges", true)
}

// permitted keeps the names that stand for allowed capabilities.
func permitted(have []string, allowed policy.Caps) []string {
	out := []string{}
	for _, name := range have {
		if c, ok := policy.Cap(name); ok && c.Minus(allowed) == 0 {
			out = append(out, name)
		}
	}
	return out
}

func (o object) names(set string) (names []string, err error) {
	if err := o.get(set, &names); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	return names, nil
}

func (d *Document) annotate(key, value string) error {
	annotations, err := d.root.child("annotations")
	if err != nil {
		return err
	}
	if annotations == nil {
		annotations = object{}
	}
	if err := annotations.put(key, value); err != nil {
		return err
	}
	return d.root.put("annotations", annotations)
}

// Hardened gives the capabilities that a bundle was hardened to; ok is false where it was not. The mark alone says
// nothing: users can write annotations, too.
func (d *Document) Hardened() (allowed policy.Caps, ok bool, err error) {
	annotations, err := d.root.child("annotations")
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", d.path, err)
	}
	var text string
	raw, marked := annotations[CapsAnnotation]
	if !marked || json.Unmarshal(raw, &text) != nil || allowed.UnmarshalText([]byte(text)) != nil {
		return 0, false, nil
	}
	excess, err := d.Excess(allowed)
	return allowed, err == nil && len(excess) == 0, err
}

// Excess tells what a bundle's process holds beyond what is allowed; nothing where it conforms.
func (d *Document) Excess(allowed policy.Caps) (problems []string, err error) {
	process, err := d.root.child("process")
	if err == nil && process == nil {
		err = errNoProcess
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	sets, err := process.child("capabilities")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	seen := map[string]bool{}
	for _, set := range append([]string{"ambient"}, kept...) {
		have, err := sets.names(set)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.path, err)
		}
		for _, name := range have {
			if c, ok := policy.Cap(name); (!ok || c.Minus(allowed) != 0) && !seen[name] {
				seen[name] = true
				problems = append(problems, "holds "+name)
			}
		}
	}
	var sealed bool
	if err := process.get("noNewPrivileges", &sealed); err != nil {
		return nil, fmt.Errorf("%s: process: %w", d.path, err)
	}
	if !sealed {
		problems = append(problems, "no_new_privileges is not set")
	}
	return problems, nil
}

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/procfs"
)

// hook is what an engine runs as a hook (oci-hooks(5), OCI runtime specification, config.md "POSIX-platform Hooks").
func hook(args []string, in io.Reader, out io.Writer) error {
	verbs := map[string]func(io.Reader, io.Writer) error{"precreate": precreate, "verify": verify}
	if len(args) != 1 || verbs[args[0]] == nil {
		return fmt.Errorf("hook %s: accepted: hook precreate, hook verify; see mcpnet-runtime --help",
			strings.Join(args, " "))
	}
	return verbs[args[0]](in, out)
}

// precreate hardens the configuration of a container that Podman is about to make. That of a container off mcpnet
// networks comes out as it went in.
func precreate(in io.Reader, out io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	d, err := oci.Parse("configuration on standard input", data)
	if err != nil {
		return err
	}
	path, err := d.NetNS()
	if err != nil {
		return err
	}
	var a attachment
	if path != "" {
		if a, err = attachmentIn(path, stores("")); err != nil {
			return err
		}
	}
	if a.concerned(true) {
		if data, err = hardened(d, a, path); err != nil {
			return err
		}
	}
	_, err = out.Write(data)
	return err
}

// hardened is the configuration of a container on an mcpnet network as it may be.
func hardened(d *oci.Document, a attachment, network string) ([]byte, error) {
	problems, err := breaches(d, network)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("the container%s %s. Remedy: "+remedy, a.networks(), strings.Join(problems, "; "))
	}
	if err := d.Harden(a.allowed()); err != nil {
		return nil, err
	}
	if err := admit(d, a, "of Podman", network); err != nil {
		return nil, err
	}
	return d.Bytes()
}

// verify fails when a container on an mcpnet network holds more than the policy allows. Its configuration cannot be
// changed any more (OCI runtime specification, runtime.md "Lifecycle", step 2), so that it must not start.
func verify(in io.Reader, _ io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	s, err := oci.ParseState(data)
	if err != nil {
		return fmt.Errorf("container's state on standard input: %w: this hook is for the stage createRuntime", err)
	}
	d, err := oci.Read(filepath.Join(s.Bundle, oci.ConfigFile))
	if err != nil {
		return err
	}
	network := procfs.NetNS(s.PID)
	a, err := attachmentIn(network, storesFor(d, s.ID))
	if err != nil || len(a.servers()) == 0 {
		return err
	}
	problems, err := breaches(d, network)
	if err != nil {
		return err
	}
	excess, err := a.excess(d)
	if problems = append(problems, excess...); err == nil && len(problems) > 0 {
		err = fmt.Errorf("container %.12s%s %s: start it with mcpnet-runtime, or with the precreate hook", s.ID,
			a.networks(), strings.Join(problems, "; "))
	}
	return err
}

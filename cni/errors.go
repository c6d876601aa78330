package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// codeNotInForce says that CHECK found something missing. Codes from 100 on are a plugin's own (CNI, "Error").
const codeNotInForce = 100

// failed gives an error the code that CNI has for it, and the network's name.
func (c *config) failed(err error) error {
	var known *types.Error
	if errors.As(err, &known) {
		return known
	}
	if problems, _ := problem.Of(err); problems != nil { // of the engine, in the words of package policy
		return c.invalid(surface.CNI.Words.Translate(problems))
	}
	if errors.As(err, new(ipam.BadConfig)) {
		return c.invalid(problem.List{ipamProblem(err)})
	}
	code := uint(types.ErrInternal)
	switch {
	case percall.IsBusy(err), isExhausted(err):
		code = types.ErrTryAgainLater
	case percall.IsTaken(err):
		code = types.ErrInvalidEnvironmentVariables
	case errors.Is(err, percall.ErrMoved):
		code = types.ErrInvalidNetworkConfig
	}
	return types.NewError(code, printed.Lines(fmt.Sprintf("mcpnet: network %q: %v", c.Name, err)), "")
}

// checkSandbox refuses a path that is not a network namespace, and the host's own namespace.
func checkSandbox(path string) error {
	theirs, err := netns.GetFromPath(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network namespace %s is gone: the container has ended", path)
	}
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer theirs.Close()
	if kind, err := unix.IoctlRetInt(int(theirs), unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%s is not a network namespace: the container has ended, or never began", path)
	}
	own, err := netns.Get()
	if err != nil {
		return err
	}
	defer own.Close()
	if own.UniqueId() == theirs.UniqueId() {
		return fmt.Errorf("network namespace %s is the host's own: "+
			"a container with the host's network cannot be on an mcpnet network",
			path)
	}
	return nil
}

func isExhausted(err error) bool { return errors.Is(err, ipam.ErrExhausted) }

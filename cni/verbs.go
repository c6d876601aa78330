package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// del detaches a container (CNI, "DEL"). It uses what ADD recorded, since the configuration may have changed. What is
// missing already is no error. In a chain it never fails: an error would keep the plugins before from cleaning up.
func del(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c := parseLoosely(args.StdinData)
	id := ipam.Attachment{ContainerID: args.ContainerID, IfName: args.IfName}
	address, err := c.detach(ctx, id)
	if err == nil && c.ipam != nil { // an address is free when its wire is gone, not before
		err = c.ipam.Del(ctx, id, address)
	}
	if err != nil && c.chained() {
		slog.Error("DEL", "network", c.Name, "container", args.ContainerID, "error", err)
		return nil
	}
	if err != nil {
		return c.failed(err)
	}
	return nil
}

func (c *config) detach(ctx context.Context, id ipam.Attachment) (address netip.Addr, err error) {
	e, err := openEngine(ctx, c)
	if err != nil {
		return address, err
	}
	defer e.Close()
	p, known, err := e.Detach(ctx, c.Name, endpointID(id.ContainerID, id.IfName))
	if known {
		address = p.IP
	}
	if err == nil {
		err = errors.Join(attestations.Forget(endpointID(id.ContainerID, id.IfName)), e.SweepSometimes(ctx, c.Name))
	}
	return address, err
}

// parseLoosely reads what a DEL needs of a configuration, whatever is wrong with the rest.
func parseLoosely(data []byte) *config {
	c := &config{raw: data}
	var least struct {
		Name string     `json:"name"`
		IPAM types.IPAM `json:"ipam"`
	}
	if err := json.Unmarshal(data, &least); err != nil {
		slog.Warn("configuration", "error", err)
	}
	c.Name, c.IPAM = least.Name, least.IPAM
	if c.chained() {
		return c
	}
	plugin, err := ipam.OpenToRelease(c.IPAM.Type, data)
	if err != nil {
		slog.Warn("ipam", "error", err)
		return c
	}
	c.ipam = plugin
	return c
}

// check fails when anything of an attachment is not in force (CNI, "CHECK").
func check(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c, err := parse(args)
	if err != nil {
		return err
	}
	if c.prev == nil {
		return c.invalid(problem.List{{Key: "prevResult",
			Reason: "missing: CHECK compares with the result of the ADD", Accepted: "that result"}})
	}
	e, err := openEngine(ctx, c)
	if err != nil {
		return c.failed(err)
	}
	defer e.Close()
	problems, err := e.Check(ctx, c.Name, endpointID(args.ContainerID, args.IfName), args.Netns)
	if err != nil {
		return c.failed(err)
	}
	if c.ipam != nil {
		if err := c.ipam.Check(ctx, ipam.Attachment{ContainerID: args.ContainerID, IfName: args.IfName}); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return types.NewError(codeNotInForce,
			fmt.Sprintf("mcpnet: network %q: container %s: not in force: %s", c.Name, args.ContainerID,
				strings.Join(problems, "; ")), "")
	}
	return nil
}

// gc removes what no living attachment needs (CNI, "GC"). An error does not keep it from removing the rest.
func gc(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c := parseLoosely(args.StdinData)
	entry, err := parseEntry(args.StdinData)
	if err != nil {
		return err
	}
	living := map[string]bool{}
	var attachments []ipam.Attachment
	for _, a := range slices.Concat(entry.ValidAttachments, entry.Attachments) {
		living[endpointID(a.ContainerID, a.IfName)] = true
		attachments = append(attachments, ipam.Attachment{ContainerID: a.ContainerID, IfName: a.IfName})
	}
	var failed []error
	if e, err := openEngine(ctx, c); err != nil {
		failed = append(failed, err)
	} else {
		failed = append(failed, e.Sweep(ctx, c.Name, func(p topology.Endpoint) bool { return living[p.ID] }), e.Close())
	}
	if c.ipam != nil {
		failed = append(failed, c.ipam.GC(ctx, attachments))
	}
	if err := errors.Join(failed...); err != nil {
		return c.failed(err)
	}
	return nil
}

// status fails when an ADD could not be served (CNI, "STATUS").
func status(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c, err := parse(args)
	if err != nil {
		return err
	}
	e, err := openEngine(ctx, c)
	if err == nil {
		err = errors.Join(e.Usable(ctx), e.Close())
	}
	if c.ipam != nil {
		err = errors.Join(err, c.ipam.Status(ctx))
	}
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, fmt.Sprintf("mcpnet: network %q: %v", c.Name, err), "")
	}
	return nil
}

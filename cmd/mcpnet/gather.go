package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/version"
)

// source answers for one surface: the Docker plugin over its socket, or the documents of CNI and netavark.
type source interface {
	Status(context.Context) (report.Status, error)
	Plan(context.Context) (report.Plan, error)
}

// ask puts a question to every surface of this host, within the time that the user gave. The Docker plugin may be
// missing where another surface is used.
func ask[T any](c *cobra.Command, o *options, question func(source, context.Context) (T, error)) (answers []T, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), o.timeout)
	defer cancel()
	locals := operator.Locals(o.store)
	answer, err := question(operator.NewClient(o.socket), ctx)
	switch {
	case err == nil:
		answers = append(answers, answer)
	case !errors.Is(err, operator.ErrNoPlugin) || len(locals) == 0:
		return nil, err
	}
	for _, l := range locals {
		answer, err := question(l, ctx)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// merge puts surfaces together. They share the host's layers, so one that lacks a layer speaks for all.
func merge(all []report.Status) report.Status {
	out := report.Status{Schema: report.StatusSchema, Version: cmp.Or(all[0].Version, version.String()), Layers: all[0].Layers,
		Networks: []report.Network{}}
	for _, s := range all {
		out.Owners = append(out.Owners, s.Owners...)
		out.Layers.Namespaces = out.Layers.Namespaces && s.Layers.Namespaces
		out.Layers.NFTables = out.Layers.NFTables && s.Layers.NFTables
		out.Layers.Uplinks = out.Layers.Uplinks && s.Layers.Uplinks
		out.Layers.Prefix = out.Layers.Prefix || s.Layers.Prefix
		out.Layers.Firewalld = out.Layers.Firewalld || s.Layers.Firewalld
		for _, f := range s.Findings {
			if !slices.Contains(out.Findings, f) {
				out.Findings = append(out.Findings, f)
			}
		}
		out.Networks = append(out.Networks, s.Networks...)
	}
	slices.SortFunc(out.Findings, report.Compare)
	return out
}

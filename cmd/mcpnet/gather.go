package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/internal/version"
)

// source answers for one surface: the Docker plugin over its socket, or the documents of CNI and netavark.
type source interface {
	Status(context.Context) (engine.Status, error)
	Plan(context.Context) (operator.Plan, error)
}

// ask puts a question to every surface of this host, within the time that the user gave. The Docker plugin may be missing
// where another surface is used.
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

// overview is the status of all surfaces together.
type overview struct {
	Version  string                 `json:"version"`
	Owners   []topology.Owner       `json:"owners"`
	Layers   engine.Layers          `json:"layers"`
	Problems []string               `json:"problems,omitempty"`
	Networks []engine.NetworkStatus `json:"networks"`
}

// merge puts surfaces together. They share the host's layers, so one that lacks a layer speaks for all.
func merge(all []engine.Status) overview {
	r := overview{Version: version.String(), Layers: all[0].Layers, Networks: []engine.NetworkStatus{}}
	if all[0].Version != "" {
		r.Version = all[0].Version
	}
	for _, s := range all {
		r.Owners = append(r.Owners, s.Owner)
		r.Layers.NFTables = r.Layers.NFTables && s.Layers.NFTables
		r.Layers.Reset = r.Layers.Reset && s.Layers.Reset
		for _, p := range s.Problems {
			if !slices.Contains(r.Problems, p) {
				r.Problems = append(r.Problems, p)
			}
		}
		for _, n := range s.Networks {
			n.Owner = s.Owner
			r.Networks = append(r.Networks, n)
		}
	}
	return r
}

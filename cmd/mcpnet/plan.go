package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/report"
)

func newPlan(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Print what would be changed now",
		Long: `Print the steps that would make the kernel what the networks ask for, in the order they would be taken.

The plugin takes them by itself within milliseconds of a change, so an empty plan is the usual answer.
Exit status: 0 nothing to do, 1 steps to do.`,
		Example: "  mcpnet plan\n  mcpnet plan --json | jq -r '.steps[].action'",
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := ask(c, o, source.Plan)
			if err != nil {
				return err
			}
			p := report.Plan{Schema: report.PlanSchema, Steps: []report.Step{}}
			for _, one := range all {
				p.Steps = append(p.Steps, one.Steps...)
			}
			if err := printPlan(c, o, p); err != nil {
				return err
			}
			if len(p.Steps) > 0 {
				return errDrift
			}
			return nil
		},
	}
}

func printPlan(c *cobra.Command, o *options, p report.Plan) error {
	out := c.OutOrStdout()
	if o.json {
		return printJSON(out, p)
	}
	if len(p.Steps) == 0 {
		_, err := fmt.Fprintln(out, "Nothing to do: the kernel is what the networks ask for.")
		return err
	}
	for i, s := range printed.All(p.Steps) {
		if _, err := fmt.Fprintf(out, "%3d  %s: %s\n", i+1, s.Namespace, s.Action); err != nil {
			return err
		}
	}
	return nil
}

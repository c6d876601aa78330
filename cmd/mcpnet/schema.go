package main

import (
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/report"
)

// schemas are the documents that commands print with --json.
var schemas = map[string]func() (*jsonschema.Schema, error){
	"status": schemaOf[report.Status](report.StatusSchema),
	"plan":   schemaOf[report.Plan](report.PlanSchema),
}

// schemaOf infers a document's schema from its type: both are one thing.
func schemaOf[T any](id string) func() (*jsonschema.Schema, error) {
	return func() (*jsonschema.Schema, error) {
		s, err := jsonschema.For[T](nil)
		if err == nil {
			s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", id
			open(s)
		}
		return s, err
	}
}

// open lets a document have fields that the schema does not know: those that a later program adds.
func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	open(s.Items)
	open(s.AdditionalProperties)
	for _, property := range s.Properties {
		open(property)
	}
}

func newSchema() *cobra.Command {
	parent := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of what a command prints with --json",
		Long: `Print the JSON schema (draft 2020-12) of what a command prints with --json.

A document names its version in the field "schema". Within a version fields are added, never changed.`,
		Example: "  mcpnet schema status\n  mcpnet schema plan > plan.schema.json",
	}
	for name, schema := range schemas {
		parent.AddCommand(&cobra.Command{
			Use:     name,
			Short:   fmt.Sprintf("The schema of `mcpnet %s --json`", name),
			Example: "  mcpnet schema " + name,
			RunE: func(c *cobra.Command, _ []string) error {
				s, err := schema()
				if err != nil {
					return err
				}
				return printJSON(c.OutOrStdout(), s)
			},
		})
	}
	return parent
}

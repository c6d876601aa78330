package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/mcpnet/mcpnet/internal/report"
)

// TestSchema: what the command prints as a schema takes its documents, those of later programs too, and no others.
func TestSchema(t *testing.T) {
	documents := map[string]any{
		"status": report.Status{Schema: report.StatusSchema, Owners: []string{"docker"}, Layers: report.Layers{DockerMCP: &report.Position{Chain: "FORWARD", Rule: 7}},
			Findings: []report.Finding{{Code: report.CodeDrift, Severity: report.Warning, Object: "network a", Meaning: "b"}},
			Networks: []report.Network{{ID: "n", Policy: map[string]string{"mcpnet.gateway": "x"}, Endpoints: []report.Endpoint{{ID: "e", State: report.StateUp}},
				Denied: map[string]report.Counter{"closed-port": {Packets: 1}}}}},
		"plan": report.Plan{Schema: report.PlanSchema, Steps: []report.Step{{Namespace: "host", Action: "a"}}},
	}
	for name, document := range documents {
		t.Run(name, func(t *testing.T) {
			schema := printedSchema(t, name)
			data, err := json.Marshal(document)
			check(t, err)
			if err := schema.Validate(decode(t, data)); err != nil {
				t.Errorf("%v\n%s", err, data)
			}
			later := strings.Replace(string(data), "{", `{"added": 1, `, 1)
			if err := schema.Validate(decode(t, []byte(later))); err != nil {
				t.Errorf("with a field more: %v", err)
			}
			for part, wrong := range map[string]string{`"schema":"mcpnet.` + name + `/1"`: `"schema":1`,
				`"mcpnet.gateway":"x"`: `"mcpnet.gateway":1`, `"packets":1`: `"packets":"1"`, `"action":"a"`: `"action":1`} {
				other := strings.Replace(string(data), part, wrong, 1)
				if other != string(data) && schema.Validate(decode(t, []byte(other))) == nil {
					t.Errorf("another document is taken: %s", other)
				}
			}
		})
	}
}

func printedSchema(t *testing.T, name string) *jsonschema.Resolved {
	t.Helper()
	var out, complaints bytes.Buffer
	if code := run([]string{"schema", name}, &out, &complaints); code != exitOK {
		t.Fatalf("exit %d: %s", code, complaints.String())
	}
	var s jsonschema.Schema
	check(t, json.Unmarshal(out.Bytes(), &s))
	resolved, err := s.Resolve(nil)
	check(t, err)
	return resolved
}

func decode(t *testing.T, data []byte) (v any) {
	t.Helper()
	check(t, json.Unmarshal(data, &v))
	return v
}

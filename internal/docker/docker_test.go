package docker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
)

// summary is a container in the engine's list.
func summary(id, state, mode string) container.Summary {
	s := container.Summary{ID: id, Names: []string{"/" + id}, State: container.ContainerState(state)}
	s.HostConfig.NetworkMode = mode
	return s
}

// TestSharers follows who shares a server's network namespace while the container between the two ends and goes.
func TestSharers(t *testing.T) {
	c := &Client{owners: map[string]string{}}
	server, second := summary("server", "running", "mcp-secure"), summary("second", "running", "container:first")
	for _, step := range []struct {
		what   string
		listed []container.Summary
		want   []string
	}{
		{"all run", []container.Summary{server, summary("first", "running", "container:server"), second}, []string{"first", "second"}},
		{"the first has ended", []container.Summary{server, summary("first", "exited", "container:server"), second}, []string{"second"}},
		{"the first is gone", []container.Summary{server, second}, []string{"second"}},
		{"the second is paused", []container.Summary{server, summary("second", "paused", "container:first")}, []string{"second"}},
		{"the second has ended", []container.Summary{server, summary("second", "exited", "container:first")}, nil},
	} {
		if diff := cmp.Diff(step.want, c.sharers(step.listed)["server"]); diff != "" {
			t.Errorf("%s: %s", step.what, diff)
		}
	}
}

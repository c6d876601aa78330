package evidence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/docker"
)

// TestSharers follows who shares a server's namespace while the container between the two ends and goes.
func TestSharers(t *testing.T) {
	s := &sharing{}
	alive := func(id string) docker.Container { return docker.Container{ID: id + "-id", Name: id, Living: true} }
	dead := func(id string) docker.Container { return docker.Container{ID: id + "-id", Name: id} }
	modes := map[string]string{"server-id": "mcp-secure", "first-id": "container:server", "second-id": "container:first-id"}
	for _, step := range []struct {
		what   string
		listed []docker.Container
		want   []string
	}{
		{"all run", []docker.Container{alive("server"), alive("first"), alive("second")}, []string{"first", "second"}},
		{"the first has ended", []docker.Container{alive("server"), dead("first"), alive("second")}, []string{"second"}},
		{"the first is gone", []docker.Container{alive("server"), alive("second")}, []string{"second"}},
		{"the second has ended", []docker.Container{alive("server"), dead("second")}, nil},
	} {
		if step.what == "the first is gone" {
			delete(modes, "first-id")
		}
		if diff := cmp.Diff(step.want, s.sharers(step.listed, modes)["server-id"]); diff != "" {
			t.Errorf("%s: %s", step.what, diff)
		}
	}
}

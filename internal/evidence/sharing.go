package evidence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/docker"
)

// mostSharers bounds a chain of containers of which each joins a namespace of the next.
const mostSharers = 16

// sharing knows whose namespace of one kind each container is in that joins another's. The containers in between may be
// gone by now.
type sharing struct{ owners map[string]string }

// sharers names, by a container, the living ones that are in its namespace, directly or through others. modes are what
// containers ask for, by their ids: those of dead ones, too, since those behind them live on in the namespace.
func (s *sharing) sharers(listed []docker.Container, modes map[string]string) map[string][]string {
	target := map[string]string{}
	for id, mode := range modes {
		if to, joins := strings.CutPrefix(mode, "container:"); joins {
			target[id] = identify(listed, to)
		}
	}
	out, owners := map[string][]string{}, map[string]string{}
	for _, c := range listed {
		owner, joins := target[c.ID]
		if !joins || !c.Living {
			continue
		}
		for range mostSharers {
			next, goesOn := target[owner]
			if !goesOn {
				break
			}
			owner = next
		}
		if !slices.ContainsFunc(listed, func(o docker.Container) bool { return o.ID == owner }) {
			owner = cmp.Or(s.owners[c.ID], owner)
		}
		owners[c.ID] = owner
		out[owner] = append(out[owner], c.Name)
	}
	s.owners = owners
	return out
}

// identify gives the id of a container that is named by its id, by the beginning of that, or by its name.
func identify(listed []docker.Container, name string) string {
	for _, is := range []func(docker.Container) bool{
		func(c docker.Container) bool { return c.ID == name || c.Name == name },
		func(c docker.Container) bool { return strings.HasPrefix(c.ID, name) },
	} {
		if i := slices.IndexFunc(listed, is); i >= 0 {
			return listed[i].ID
		}
	}
	return name
}

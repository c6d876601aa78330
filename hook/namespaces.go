package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/procfs"
)

const (
	// looks is how often a stranger has to be seen in a namespace. A process that is on its way into a container is in
	// some of its namespaces before it is in all.
	looks     = 4
	lookPause = 25 * time.Millisecond
)

// breaches tells by which ways past its network a bundle's container would have. The network namespace is that of the
// container, or "" where the runtime makes it.
func breaches(d *oci.Document, network string) ([]string, error) {
	problems, err := d.Breaches()
	if err != nil {
		return nil, err
	}
	joined, err := d.Joined()
	if err != nil || len(joined) == 0 {
		return problems, err
	}
	var inode uint64
	if network != "" {
		if inode, err = procfs.NamespaceOf(network); err != nil {
			return nil, err
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(joined)) {
		s, foreign, err := strangerIn(joined[kind], kind, inode)
		if err != nil {
			return nil, err
		}
		if foreign {
			problems = append(problems, fmt.Sprintf("joins the %s namespace of process %d (%q), which is on another network",
				kind, s.PID, s.Name))
		}
	}
	return problems, nil
}

// strangerIn finds a process of another network in a namespace. A pod's namespaces hold none: all of its containers
// have one network.
func strangerIn(path, kind string, network uint64) (s procfs.Stranger, found bool, err error) {
	for look := range looks {
		if look > 0 {
			time.Sleep(lookPause)
		}
		if s, found, err = procfs.StrangerIn(path, kind, network); !found || err != nil {
			return s, false, err
		}
	}
	return s, found, nil
}

package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/report"
)

const (
	// recordTime bounds one inspect. Docker does not answer while it works on the container, and all other containers
	// wait.
	recordTime = 500 * time.Millisecond
	// recordsTime bounds the inspects of one look. Servers' come first; what is left is read by the next look.
	recordsTime = 2 * time.Second
	// lackingAge is how long something may be lacking before it is told: Docker starts containers meanwhile.
	lackingAge = 3 * time.Second
)

// records are the engine's records of all containers that it lists: another container's tells that it joins a namespace
// of a server's. A record does not change while its container runs.
type records struct {
	inspect func(context.Context, string) (admission.Record, error)
	known   map[string]admission.Record
	// unread is since when a living container's record is not known.
	unread map[string]time.Time
	// network, pid and ipc tell whose namespaces containers share.
	network, pid, ipc sharing
	shared            map[string][]admission.Sharer
}

func newRecords(d *docker.Client) *records {
	return &records{inspect: d.Record, known: map[string]admission.Record{}, unread: map[string]time.Time{}}
}

// of is the record of a container, or nil where it is not known.
func (r *records) of(container string) *admission.Record {
	if known, ok := r.known[container]; ok {
		return &known
	}
	return nil
}

// sharers are the other containers in a container's namespaces.
func (r *records) sharers(container string) []admission.Sharer { return r.shared[container] }

// read reads the records of living containers that are not known yet, those of servers first, and forgets others.
// Without a server it reads nothing. An error says that some are not known, and findings tell which have not been for
// long.
func (r *records) read(ctx context.Context, listed []docker.Container, servers []candidate) ([]report.Finding, error) {
	unread := r.forget(listed, servers)
	var failed []error
	end := time.Now().Add(recordsTime)
	for _, c := range unread {
		if time.Now().After(end) {
			failed = append(failed, fmt.Errorf("container %s: Docker answers too slowly", c.Name))
			continue
		}
		record, err := r.readOne(ctx, c.ID)
		if err != nil {
			failed = append(failed, fmt.Errorf("container %s: %w", c.Name, err))
			continue
		}
		r.known[c.ID] = record
		delete(r.unread, c.ID)
	}
	r.share(listed)
	return r.lacking(unread), errors.Join(failed...)
}

// forget forgets containers that are gone, and gives those whose records are to be read.
func (r *records) forget(listed []docker.Container, servers []candidate) (unread []docker.Container) {
	isServer := func(c docker.Container) bool {
		return slices.ContainsFunc(servers, func(s candidate) bool { return s.attachment.ContainerID == c.ID })
	}
	known, since := map[string]admission.Record{}, map[string]time.Time{}
	for _, c := range listed {
		record, ok := r.known[c.ID]
		switch {
		case ok:
			known[c.ID] = record
			continue
		case !c.Living || len(servers) == 0:
			continue
		case isServer(c):
			unread = slices.Insert(unread, 0, c)
		default:
			unread = append(unread, c)
		}
		since[c.ID] = time.Now()
		if before, ok := r.unread[c.ID]; ok {
			since[c.ID] = before
		}
	}
	r.known, r.unread = known, since
	return unread
}

// lacking tells which records have not been known for long.
func (r *records) lacking(unread []docker.Container) (out []report.Finding) {
	for _, c := range unread {
		if since, ok := r.unread[c.ID]; ok && time.Since(since) > lackingAge {
			out = append(out, lackingFinding("container "+c.Name, "Docker's record of it cannot be read, so nobody sees whether it is a way out for a server",
				"mcpnet asks again; see Docker's log where it lasts"))
		}
	}
	return out
}

func (r *records) readOne(ctx context.Context, id string) (admission.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	return r.inspect(ctx, id)
}

// share finds out whose namespaces containers are in.
func (r *records) share(listed []docker.Container) {
	network, pid, ipc := map[string]string{}, map[string]string{}, map[string]string{}
	for _, c := range listed {
		network[c.ID] = c.Network
		if record, ok := r.known[c.ID]; ok {
			pid[c.ID], ipc[c.ID] = record.PID, record.IPC
		}
	}
	r.shared = map[string][]admission.Sharer{}
	for namespace, sharers := range map[string]map[string][]string{"network": r.network.sharers(listed, network),
		"pid": r.pid.sharers(listed, pid), "ipc": r.ipc.sharers(listed, ipc)} {
		for owner, names := range sharers {
			for _, name := range names {
				r.shared[owner] = append(r.shared[owner], admission.Sharer{Namespace: namespace, Container: name})
			}
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/evidence"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// syncInterval is how often the engine's list is read without a reason.
	syncInterval = 30 * time.Second
	// syncPause parts two looks at most, and so gathers a burst of changes: fifty containers that start make a few looks,
	// not fifty. Short looks have short pauses.
	syncPause = 100 * time.Millisecond
	// syncSoon and syncAgain are when more looks follow an event. The engine reports an event before its list shows it.
	syncSoon, syncAgain = 50 * time.Millisecond, time.Second
	// unlistedAge is how long the engine's list may be unreadable before somebody is told.
	unlistedAge = 3 * time.Second
	// syncTime bounds one look.
	syncTime = 10 * time.Second
	// orphanAge is how long an endpoint may be missing from the engine's list before it counts as a left-over.
	orphanAge = 2 * time.Minute
)

// engineSync keeps the driver's networks and endpoints in step with the engine's list, which says what the driver's
// calls do not: names, ranges, and whether an address was asked for.
type engineSync struct {
	engine       *resident.Front
	docker       *docker.Client
	evidence     *evidence.RecordCollector
	attestations attest.Directory
	log          *slog.Logger
	wake         notifier
	// missing is since when the engine's list lacks an endpoint or a network, by id.
	missing   map[string]time.Time
	collected bool
	// unlisted is since when the engine's list cannot be read.
	unlisted time.Time
}

func (s *engineSync) run(ctx context.Context) {
	go s.follow(ctx)
	s.wake.notify()
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-tick.C:
		}
		began := time.Now()
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("engine's list", "error", err)
			time.AfterFunc(time.Second, s.wake.notify)
		}
		time.Sleep(min(2*time.Since(began), syncPause))
	}
}

// follow wakes the loop at each event of the engine. It asks again when the engine restarts.
func (s *engineSync) follow(ctx context.Context) {
	soon, again := time.AfterFunc(syncSoon, s.wake.notify), time.AfterFunc(syncAgain, s.wake.notify)
	changed := func(e docker.Change) {
		if err := s.evidence.Changed(ctx, e); err != nil {
			s.log.Warn("evidence", "error", err)
		}
		s.wake.notify()
		soon.Reset(syncSoon)
		again.Reset(syncAgain)
	}
	for ctx.Err() == nil {
		err := s.docker.Changes(ctx, changed)
		s.log.Debug("engine's events", "error", err)
		s.wake.notify()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *engineSync) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	all, err := s.docker.Networks(ctx, func(string) bool { return true })
	if err != nil {
		return s.unread(ctx, err)
	}
	listed := slices.DeleteFunc(slices.Clone(all),
		func(n docker.Network) bool { return !request.IsDockerDriver(n.Driver) })
	// The start of a gateway may wait for networks to be described, so this comes first.
	known, err := s.networks(ctx, listed)
	if err != nil {
		return err
	}
	list, err := s.docker.Containers(ctx)
	if err != nil {
		return s.unread(ctx, err)
	}
	s.unlisted = time.Time{}
	have, err := s.endpoints(ctx, known, list.Attachments)
	if err != nil {
		return err
	}
	judged := s.evidence.Judge(ctx, list) // one container that cannot be judged keeps nothing else from being done
	s.forgetNetworks(ctx, known, all)
	s.forgetMissing(known, have)
	if s.collected {
		return judged
	}
	err = s.engine.Collect(ctx)
	s.collected = err == nil
	return errors.Join(judged, err)
}

// unread tells, when it lasts, that the engine's list cannot be read.
func (s *engineSync) unread(ctx context.Context, cause error) error {
	if s.unlisted.IsZero() {
		s.unlisted = time.Now()
	}
	if time.Since(s.unlisted) < unlistedAge {
		return cause
	}
	return errors.Join(cause, s.evidence.Unlisted(context.WithoutCancel(ctx), cause))
}

// networks rebuilds networks that the store lacks, and records what the engine tells of the others.
func (s *engineSync) networks(ctx context.Context, listed []docker.Network) (map[string]topology.Network, error) {
	have, err := s.engine.Networks(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]topology.Network{}
	for _, n := range have {
		known[n.ID] = n
	}
	for _, l := range listed {
		n, ok := known[l.ID]
		if !ok {
			n, err = s.rebuild(ctx, l)
			if errors.Is(err, resident.ErrRemoved) {
				continue
			}
			if err != nil {
				s.log.Error("network of the engine's list cannot be rebuilt", "network", l.Name, "error", err)
				continue
			}
		}
		if said, err := listedNetwork(l); err == nil {
			n.Policy.CapsMode = said.Policy.CapsMode // where nobody chose, the default of this version
		}
		n.Name, n.IPRange = l.Name, l.IPRange
		if !n.IPRange.IsValid() {
			n.IPRange = n.Subnet
		}
		known[l.ID] = n
		if err := s.engine.Describe(ctx, n); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func (s *engineSync) rebuild(ctx context.Context, l docker.Network) (topology.Network, error) {
	n, err := listedNetwork(l)
	if err != nil {
		return n, err
	}
	return n, s.engine.RebuildNetwork(ctx, n)
}

// endpoints adopts endpoints that the store lacks, decides about candidates, and removes endpoints that the engine does
// not know. It gives those that there were.
func (s *engineSync) endpoints(ctx context.Context, known map[string]topology.Network,
	attachments []docker.Attachment) ([]topology.Endpoint, error) {
	var adopt []topology.Endpoint
	listed := map[string]docker.Attachment{}
	for _, a := range attachments {
		n, ok := known[a.NetworkID]
		if !ok {
			continue
		}
		listed[a.EndpointID] = a
		if p, err := listedEndpoint(n, a); err == nil {
			adopt = append(adopt, p)
		}
	}
	if err := s.engine.Adopt(ctx, adopt); err != nil {
		return nil, err
	}
	have, err := s.engine.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range have {
		if a, ok := listed[p.ID]; ok {
			delete(s.missing, p.ID)
			err = errors.Join(s.decide(ctx, p, a), s.engine.NoteAlone(ctx, p.NetworkID, p.ID, a.Running && len(a.Others) == 0))
		} else {
			err = s.forget(ctx, p)
		}
		if err != nil {
			s.log.Warn("endpoint", "error", err)
		}
	}
	return have, nil
}

// decide makes a candidate a gateway when the engine's record shows that its address was asked for.
func (s *engineSync) decide(ctx context.Context, p topology.Endpoint, a docker.Attachment) error {
	reason := ""
	if p.Role == topology.RoleCandidate {
		if a.Asked {
			return s.engine.Promote(ctx, p.NetworkID, p.ID,
				fmt.Sprintf("address %s was asked for (container %s)", p.IP, a.Container))
		}
		reason = fmt.Sprintf("address %s is a gateway's, but the engine assigned it by itself: nothing passes. "+
			"Start this container with another address (--ip), and keep the gateway's outside --ip-range", p.IP)
	}
	return s.engine.Annotate(ctx, p.NetworkID, p.ID, a.Container, reason)
}

// forgetNetworks removes networks that the engine lists under no driver's name. The plugin was killed while it made or
// removed them, and the engine repeats neither call.
func (s *engineSync) forgetNetworks(ctx context.Context, known map[string]topology.Network, all []docker.Network) {
	for id, n := range known {
		if slices.ContainsFunc(all, func(l docker.Network) bool { return l.ID == id }) {
			delete(s.missing, id)
		} else if s.orphaned(id) {
			s.log.Info("network removed: the engine does not know it", "network", n.DisplayName(), "bridge", n.Bridge)
			if err := s.engine.DeleteNetwork(ctx, id); err != nil {
				s.log.Warn("network", "error", err)
			}
		}
	}
}

// orphaned reports, once, that the engine's list has lacked an object for long enough.
func (s *engineSync) orphaned(id string) bool {
	since, ok := s.missing[id]
	if !ok {
		s.missing[id] = time.Now()
		return false
	}
	if time.Since(since) < orphanAge {
		return false
	}
	delete(s.missing, id)
	return true
}

// forgetMissing forgets since when objects are missing that are gone by themselves meanwhile.
func (s *engineSync) forgetMissing(networks map[string]topology.Network, endpoints []topology.Endpoint) {
	maps.DeleteFunc(s.missing, func(id string, _ time.Time) bool {
		_, there := networks[id]
		return !there && !slices.ContainsFunc(endpoints, func(p topology.Endpoint) bool { return p.ID == id })
	})
}

func (s *engineSync) forget(ctx context.Context, p topology.Endpoint) error {
	if !s.orphaned(p.ID) {
		return nil
	}
	s.log.Info("endpoint removed: the engine does not know it", "endpoint", p.ID, "address", p.IP.String())
	return errors.Join(s.engine.DeleteEndpoint(ctx, p.NetworkID, p.ID), s.attestations.Forget(p.ID))
}

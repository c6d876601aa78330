package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// recordTime bounds one inspect: the engine does not answer while it works on the container, and the others wait meanwhile.
const recordTime = 500 * time.Millisecond

// examiner collects the evidence about the containers of a Docker engine's endpoints (P10).
type examiner struct {
	engine *engine.Engine
	docker *docker.Client
	word   attest.Directory // of mcpnet-runtime
	log    *slog.Logger
	// records are what users asked for with containers, by endpoint: an endpoint does not outlive its container's run.
	records map[string]admission.Record
}

// follow admits an endpoint as soon as mcpnet-runtime attests its container, until the context ends.
func (x *examiner) follow(ctx context.Context) {
	hear(ctx, x.word, x.log, func(endpoint string) {
		if err := x.attested(ctx, endpoint); err != nil {
			x.log.Warn("attestation", "error", err)
		}
	})
}

func (x *examiner) attested(ctx context.Context, endpoint string) error {
	if endpoint == "" {
		return nil // a notification is of CNI
	}
	a, ok, err := x.word.Attested(endpoint)
	if err != nil || !ok {
		return err
	}
	networks, err := x.engine.Networks(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(networks, func(n topology.Network) bool { return n.ID == a.Network })
	if i < 0 {
		return nil // another surface's
	}
	judged := admission.Evidence{Attested: &a.Caps}.Judge(networks[i].Policy.Caps)
	if judged.State != topology.Conforms {
		return nil
	}
	return x.engine.Admit(ctx, a.Network, endpoint, judged)
}

// examine judges every endpoint by all evidence there is.
func (x *examiner) examine(ctx context.Context, attachments []docker.Attachment) error {
	examined, err := x.engine.Examined(ctx)
	if err != nil {
		return err
	}
	listed := map[string]docker.Attachment{}
	for _, a := range attachments {
		listed[a.EndpointID] = a
	}
	living := map[string]admission.Record{}
	for _, e := range examined {
		a, ok := listed[e.Endpoint.ID]
		if !ok || !a.Running {
			continue
		}
		evidence := x.evidence(ctx, e, a)
		if evidence.Record != nil {
			living[e.Endpoint.ID] = *evidence.Record
		}
		judged := evidence.Judge(e.Network.Policy.Caps)
		if judged.State == topology.AdmissionWaiting || judged == e.Endpoint.Admission {
			continue // no evidence, or none that is new: what was found before stands
		}
		if err := x.engine.Admit(ctx, e.Network.ID, e.Endpoint.ID, judged); err != nil {
			return err
		}
	}
	x.records = living
	return nil
}

func (x *examiner) evidence(ctx context.Context, e engine.Examined, a docker.Attachment) admission.Evidence {
	evidence := admission.Evidence{Networks: a.Others, Sharers: a.Sharers, Attested: x.attestedCaps(a)}
	if evidence.Attested != nil {
		return evidence
	}
	record, known := x.records[e.Endpoint.ID]
	if !known {
		ctx, cancel := context.WithTimeout(ctx, recordTime)
		defer cancel()
		var err error
		if record, err = x.docker.Record(ctx, a.ContainerID); err != nil {
			x.log.Debug("engine's record", "container", a.Container, "error", err)
			return evidence
		}
	}
	evidence.Record = &record
	return evidence
}

// attestedCaps is what mcpnet-runtime said of the container, of this endpoint or wherever it was when it started.
func (x *examiner) attestedCaps(a docker.Attachment) *policy.Caps {
	attested, ok, err := x.word.Attested(a.EndpointID)
	if err != nil {
		x.log.Warn("attestation", "container", a.Container, "error", err)
	}
	if ok {
		return &attested.Caps
	}
	hardened, ok, err := x.word.Hardened(a.ContainerID)
	if err != nil {
		x.log.Warn("attestation", "container", a.Container, "error", err)
	}
	if ok {
		return &hardened.Caps
	}
	return nil
}

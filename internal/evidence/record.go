package evidence

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Judged are networks whose endpoints are admitted by evidence.
type Judged interface {
	// Examined gives the endpoints about which evidence is wanted.
	Examined(context.Context) ([]core.Examined, error)
	// Admit records what the evidence says, and has it take effect.
	Admit(ctx context.Context, network, endpoint string, a topology.Admission) error
}

// Recorded are networks of an engine that keeps a record of its containers.
type Recorded interface {
	Judged
	Networks(context.Context) ([]topology.Network, error)
}

// Observed are networks of an engine without one.
type Observed interface {
	Judged
	// Outlets tells what leads out of a container's network namespace.
	Outlets(sandbox string) (core.Outlets, error)
}

// recordTime bounds one inspect. Docker does not answer while it works on the container, and all other containers wait.
const recordTime = 500 * time.Millisecond

// RecordCollector collects evidence about the containers of Docker's endpoints (P10): attestations and Docker's record.
type RecordCollector struct {
	networks     Recorded
	docker       *docker.Client
	attestations attest.Directory
	log          *slog.Logger
	// records hold Docker's record of each endpoint's container. A record does not change while the container runs, and
	// the endpoint does not outlive that run.
	records map[string]admission.Record
}

// NewRecordCollector makes the collector for a Docker engine.
func NewRecordCollector(networks Recorded, d *docker.Client, attestations attest.Directory,
	log *slog.Logger) *RecordCollector {
	return &RecordCollector{networks: networks, docker: d, attestations: attestations, log: log}
}

// Watch admits an endpoint as soon as mcpnet-runtime attests its container, until the context ends.
func (c *RecordCollector) Watch(ctx context.Context) {
	watchAttestations(ctx, c.attestations, c.log, func(endpoint string) {
		if err := c.admitAttested(ctx, endpoint); err != nil {
			c.log.Warn("attestation", "error", err)
		}
	})
}

func (c *RecordCollector) admitAttested(ctx context.Context, endpoint string) error {
	if endpoint == "" {
		return nil // only the surfaces without a resident process send notifications without an endpoint
	}
	a, ok, err := c.attestations.Attested(endpoint)
	if err != nil || !ok {
		return err
	}
	networks, err := c.networks.Networks(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(networks, func(n topology.Network) bool { return n.ID == a.Network })
	if i < 0 {
		return nil // the network belongs to another surface
	}
	judged := admission.Evidence{Attested: &a.Caps}.Judge(networks[i].Policy.Caps)
	if judged.State != topology.Conforms {
		return nil
	}
	return c.networks.Admit(ctx, a.Network, endpoint, judged)
}

// Judge admits or quarantines every endpoint by all evidence there is.
func (c *RecordCollector) Judge(ctx context.Context, attachments []docker.Attachment) error {
	examined, err := c.networks.Examined(ctx)
	if err != nil {
		return err
	}
	listed := map[string]docker.Attachment{}
	for _, a := range attachments {
		listed[a.EndpointID] = a
	}
	running := map[string]admission.Record{}
	for _, e := range examined {
		a, ok := listed[e.Endpoint.ID]
		if !ok || !a.Running {
			continue
		}
		evidence := c.evidence(ctx, e, a)
		if evidence.Record != nil {
			running[e.Endpoint.ID] = *evidence.Record
		}
		judged := evidence.Judge(e.Network.Policy.Caps)
		if judged.State == topology.AdmissionWaiting || judged == e.Endpoint.Admission {
			continue // without new evidence the last judgement stands
		}
		if err := c.networks.Admit(ctx, e.Network.ID, e.Endpoint.ID, judged); err != nil {
			return err
		}
	}
	c.records = running
	return nil
}

func (c *RecordCollector) evidence(ctx context.Context, e core.Examined, a docker.Attachment) admission.Evidence {
	evidence := admission.Evidence{Networks: a.Others, Sharers: a.Sharers, Attested: c.attestedCaps(a)}
	if evidence.Attested != nil {
		return evidence
	}
	record, known := c.records[e.Endpoint.ID]
	if !known {
		ctx, cancel := context.WithTimeout(ctx, recordTime)
		defer cancel()
		var err error
		if record, err = c.docker.Record(ctx, a.ContainerID); err != nil {
			c.log.Debug("engine's record", "container", a.Container, "error", err)
			return evidence
		}
	}
	evidence.Record = &record
	return evidence
}

// attestedCaps are the capabilities that mcpnet-runtime attests for the endpoint. A container that was not on an mcpnet
// network when it started has no endpoint in its attestation.
func (c *RecordCollector) attestedCaps(a docker.Attachment) *policy.Caps {
	attested, ok, err := c.attestations.Attested(a.EndpointID)
	if err != nil {
		c.log.Warn("attestation", "container", a.Container, "error", err)
	}
	if ok {
		return &attested.Caps
	}
	hardened, ok, err := c.attestations.Hardened(a.ContainerID)
	if err != nil {
		c.log.Warn("attestation", "container", a.Container, "error", err)
	}
	if ok {
		return &hardened.Caps
	}
	return nil
}

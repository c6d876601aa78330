package evidence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Judged are networks whose endpoints are admitted by evidence.
type Judged interface {
	// Examined gives the endpoints about which evidence is wanted.
	Examined(context.Context) ([]core.Examined, error)
	// Admit records what the evidence says, and has it take effect.
	Admit(ctx context.Context, network, endpoint string, a topology.Admission) error
	// Lacking records what evidence cannot be had, for whoever asks for the status; nothing where all can.
	Lacking(context.Context, []report.Finding) error
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

// RecordCollector collects evidence about the containers of Docker's endpoints (P10): attestations, and the engine's
// lists and records.
type RecordCollector struct {
	networks     Recorded
	records      *records
	attestations attest.Directory
	log          *slog.Logger
	// mu orders who judges: an event may come while the engine's list is read.
	mu sync.Mutex
	// attached are, by a container, its endpoints about which evidence is wanted, with what the last look found.
	attached map[string][]judged
	// connected are networks that an event named, before the list shows them.
	connected connections
	lacking   []report.Finding
}

// judged is an endpoint and the evidence about its container.
type judged struct {
	core.Examined
	evidence admission.Evidence
}

func (e judged) judge() topology.Admission { return e.evidence.Judge(e.Network.Policy.Caps) }

// NewRecordCollector makes the collector for a Docker engine.
func NewRecordCollector(networks Recorded, d *docker.Client, attestations attest.Directory,
	log *slog.Logger) *RecordCollector {
	return &RecordCollector{networks: networks, records: newRecords(d), attestations: attestations, log: log, connected: connections{}}
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
	c.mu.Lock()
	defer c.mu.Unlock()
	evidence := c.known(endpoint)
	evidence.Attested = &a.Caps
	judged := evidence.Judge(networks[i].Policy.Caps)
	if judged.State != topology.Conforms {
		return nil
	}
	return c.networks.Admit(ctx, a.Network, endpoint, judged)
}

// known is what the last look found of an endpoint's container.
func (c *RecordCollector) known(endpoint string) (e admission.Evidence) {
	for _, all := range c.attached {
		for _, j := range all {
			if j.Endpoint.ID == endpoint {
				return j.evidence
			}
		}
	}
	return e
}

// Judge admits or quarantines every endpoint by all evidence there is. What evidence could not be had is an error when
// everything else is done.
func (c *RecordCollector) Judge(ctx context.Context, list docker.List) error {
	examined, err := c.networks.Examined(ctx)
	if err != nil {
		return err
	}
	found := running(examined, list.Attachments)
	lacking, unread := c.records.read(ctx, list.Containers, found)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached = map[string][]judged{}
	for i, e := range found {
		e.evidence = c.evidence(e.attachment)
		c.attached[e.attachment.ContainerID] = append(c.attached[e.attachment.ContainerID], e.judged)
		found[i] = e
	}
	for _, e := range found {
		if e.judge() == e.Endpoint.Admission {
			continue
		}
		if err := c.admit(ctx, e.judged); err != nil {
			return err
		}
	}
	return errors.Join(c.tell(ctx, lacking), unread)
}

// candidate is an endpoint with what the engine's list shows of it.
type candidate struct {
	judged
	attachment docker.Attachment
}

// running are the endpoints whose containers run.
func running(examined []core.Examined, attachments []docker.Attachment) (out []candidate) {
	listed := map[string]docker.Attachment{}
	for _, a := range attachments {
		listed[a.EndpointID] = a
	}
	for _, e := range examined {
		if a, ok := listed[e.Endpoint.ID]; ok && a.Running {
			out = append(out, candidate{judged{Examined: e}, a})
		}
	}
	return out
}

// admit has a judgement take effect. Without new evidence the last one stands.
func (c *RecordCollector) admit(ctx context.Context, e judged) error {
	a := e.judge()
	if a.State == topology.AdmissionWaiting {
		return nil
	}
	return c.networks.Admit(ctx, e.Network.ID, e.Endpoint.ID, a)
}

func (c *RecordCollector) evidence(a docker.Attachment) admission.Evidence {
	return admission.Evidence{Record: c.records.of(a.ContainerID), Attested: c.attestedCaps(a), Sharers: c.records.sharers(a.ContainerID),
		Networks: c.connected.with(a.ContainerID, a.Others, time.Now())}
}

// Changed quarantines a server as soon as the engine says that it was connected to another network: the list shows it
// later.
func (c *RecordCollector) Changed(ctx context.Context, e docker.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.Disconnected:
		c.connected.remove(e.Container, e.Network)
		return nil
	case !e.Connected:
		return nil
	}
	var failed []error
	for i, a := range c.attached[e.Container] {
		if a.Network.ID == e.NetworkID {
			continue
		}
		c.connected.add(e.Container, e.Network, time.Now())
		a.evidence.Networks = c.connected.with(e.Container, a.evidence.Networks, time.Now())
		c.attached[e.Container][i] = a
		failed = append(failed, c.admit(ctx, a))
	}
	return errors.Join(failed...)
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

// Unlisted records that the engine's list cannot be read: nobody is judged meanwhile.
func (c *RecordCollector) Unlisted(ctx context.Context, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tell(ctx, []report.Finding{lackingFinding("host", fmt.Sprintf("Docker's list of containers cannot be read, so nobody sees whether servers have another way out: %v", cause),
		"start Docker, and see its log")})
}

// tell records and logs what is lacking, once.
func (c *RecordCollector) tell(ctx context.Context, lacking []report.Finding) error {
	if slices.Equal(lacking, c.lacking) {
		return nil
	}
	c.lacking = lacking
	logLacking(c.log, lacking)
	return c.networks.Lacking(ctx, lacking)
}

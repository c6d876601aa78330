package testengine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// PodOptions describes a pod of the CRI.
type PodOptions struct {
	Name string
	// Handler is one of the Handlers; without it the default one runs the pod.
	Handler             string
	Annotations, Labels map[string]string
}

// Pod is a running pod sandbox.
type Pod struct {
	ID string
	// config is what the pod was made with: the CRI wants it again for each
	// container.
	config map[string]any
	engine *Containerd
}

// CRI calls a method of the CRI's RuntimeService, such as "PodSandboxStatus",
// with a request in the JSON form of its message, and puts the answer into the
// response. Either may be nil.
func (c *Containerd) CRI(method string, request, response any) error {
	tools, err := cniTools()
	if err != nil {
		return err
	}
	if request == nil {
		request = struct{}{}
	}
	message, err := json.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(tools, "grpcurl"), "-plaintext", "-max-time", "120",
		"-import-path", tools, "-proto", "cri.proto", "-d", "@",
		"unix://"+c.Path("/run/containerd/containerd.sock"), "runtime.v1.RuntimeService/"+method)
	cmd.Stdin = bytes.NewReader(message)
	out, err := capture(cmd, "CRI", []string{method})
	if err != nil || response == nil {
		return err
	}
	return json.Unmarshal([]byte(out), response)
}

// RunPod runs a pod sandbox: its network namespace is made and attached.
func (c *Containerd) RunPod(opts PodOptions) (*Pod, error) {
	pod := &Pod{engine: c, config: map[string]any{
		"metadata":    map[string]any{"name": opts.Name, "uid": "uid-" + opts.Name, "namespace": "default"},
		"hostname":    opts.Name,
		"annotations": opts.Annotations,
		"labels":      opts.Labels,
		"linux":       map[string]any{"cgroup_parent": "/" + c.sandbox.cgroup()},
	}}
	var answer struct{ PodSandboxID string }
	request := map[string]any{"config": pod.config, "runtime_handler": opts.Handler}
	if err := c.CRI("RunPodSandbox", request, &answer); err != nil {
		return nil, fmt.Errorf("pod %s: %w", opts.Name, err)
	}
	pod.ID = answer.PodSandboxID
	return pod, nil
}

// MustRunPod is RunPod for a test that cannot go on without it.
func (c *Containerd) MustRunPod(opts PodOptions) *Pod {
	c.t.Helper()
	pod, err := c.RunPod(opts)
	c.must(err)
	return pod
}

// kubelets is what the kubelet says of each container that is not privileged (pkg/securitycontext/util.go).
var kubelets = map[string]any{
	"masked_paths": []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"},
	"readonly_paths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
}

// Run runs a container in the pod, of an image that Import made.
func (p *Pod) Run(name, image string, command ...string) (*Container, error) {
	container, err := p.RunConfig(map[string]any{
		"metadata": map[string]any{"name": name},
		"image":    map[string]any{"image": reference(image)},
		"command":  command,
		"linux":    map[string]any{"security_context": kubelets},
	})
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", name, err)
	}
	return container, nil
}

// RunConfig runs a container that is described by the CRI's ContainerConfig, in
// its JSON form.
func (p *Pod) RunConfig(config map[string]any) (*Container, error) {
	var answer struct{ ContainerID string }
	request := map[string]any{"pod_sandbox_id": p.ID, "sandbox_config": p.config, "config": config}
	if err := p.engine.CRI("CreateContainer", request, &answer); err != nil {
		return nil, err
	}
	if err := p.engine.CRI("StartContainer", map[string]any{"container_id": answer.ContainerID}, nil); err != nil {
		return nil, err
	}
	return &Container{ID: answer.ContainerID, namespace: criNamespace, engine: p.engine}, nil
}

// MustRun is Run for a test that cannot go on without it.
func (p *Pod) MustRun(name, image string, command ...string) *Container {
	p.engine.t.Helper()
	container, err := p.Run(name, image, command...)
	p.engine.must(err)
	return container
}

// IP is the pod's first address as the CRI reports it.
func (p *Pod) IP() string {
	p.engine.t.Helper()
	var answer struct {
		Status struct{ Network struct{ IP string } }
	}
	p.engine.must(p.engine.CRI("PodSandboxStatus", map[string]any{"pod_sandbox_id": p.ID}, &answer))
	return answer.Status.Network.IP
}

// NetNS is the path, on the machine, of the pod's network namespace.
func (p *Pod) NetNS() string {
	p.engine.t.Helper()
	return (&Container{ID: p.ID, namespace: criNamespace, engine: p.engine}).NetNS()
}

// Remove stops the pod, which detaches it from its CNI networks, and removes it
// with its containers.
func (p *Pod) Remove() error {
	for _, method := range []string{"StopPodSandbox", "RemovePodSandbox"} {
		if err := p.engine.CRI(method, map[string]any{"pod_sandbox_id": p.ID}, nil); err != nil {
			return fmt.Errorf("pod %s: %w", p.ID, err)
		}
	}
	return nil
}

// execSync runs a program in a container of the CRI, which reports its output in
// full at the end.
func (c *Containerd) execSync(id string, args []string) (string, error) {
	var answer struct {
		Stdout, Stderr []byte
		ExitCode       int
	}
	request := map[string]any{"container_id": id, "cmd": args, "timeout": 100}
	if err := c.CRI("ExecSync", request, &answer); err != nil {
		return "", err
	}
	out := strings.TrimRight(string(answer.Stdout), "\n")
	if answer.ExitCode != 0 {
		return out, fmt.Errorf("%s: exit status %d: %s", strings.Join(args, " "), answer.ExitCode,
			bytes.TrimSpace(answer.Stderr))
	}
	return out, nil
}

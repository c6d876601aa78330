package testengine

import (
	"fmt"
	"strings"
)

// pauseImage holds the namespaces of a pod. It is made on the spot.
const pauseImage = "localhost/pause:latest"

// Handler is a runtime handler of containerd's CRI, which a Kubernetes
// RuntimeClass names.
type Handler struct {
	Name string
	// CNIConfDir is the handler's own directory of CNI configurations, of which
	// the first counts; without it the handler has those of all others.
	CNIConfDir string
	// PodAnnotations and ContainerAnnotations are patterns of the annotations
	// that reach the OCI runtime.
	PodAnnotations, ContainerAnnotations []string
	// BinaryName is the OCI runtime, runc unless it is given.
	BinaryName string
}

// containerdConfig is a config.toml of version 2, which containerd 2 migrates.
func containerdConfig(handlers []Handler) string {
	var b strings.Builder
	const cri = `plugins."io.containerd.grpc.v1.cri"`
	fmt.Fprintf(&b, "version = 2\n[%s]\nsandbox_image = %q\n", cri, pauseImage)
	// A pod is to be spared by the OOM killer, for which the machines of the
	// tests lack CAP_SYS_RESOURCE.
	b.WriteString("restrict_oom_score_adj = true\n")
	fmt.Fprintf(&b, "[%s.cni]\nbin_dir = %q\nconf_dir = \"/etc/cni/net.d\"\n", cri, CNIBin)
	fmt.Fprintf(&b, "[%s.containerd]\ndefault_runtime_name = \"runc\"\n", cri)
	for _, h := range append([]Handler{{Name: "runc"}}, handlers...) {
		table := fmt.Sprintf("%s.containerd.runtimes.%q", cri, h.Name)
		fmt.Fprintf(&b, "[%s]\nruntime_type = \"io.containerd.runc.v2\"\n", table)
		if h.CNIConfDir != "" {
			fmt.Fprintf(&b, "cni_conf_dir = %q\ncni_max_conf_num = 1\n", h.CNIConfDir)
		}
		fmt.Fprintf(&b, "pod_annotations = %s\n", tomlStrings(h.PodAnnotations))
		fmt.Fprintf(&b, "container_annotations = %s\n", tomlStrings(h.ContainerAnnotations))
		fmt.Fprintf(&b, "[%s.options]\nSystemdCgroup = false\n", table)
		if h.BinaryName != "" {
			fmt.Fprintf(&b, "BinaryName = %q\n", h.BinaryName)
		}
	}
	return b.String()
}

func tomlStrings(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

package main

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ipam"
)

// TestStrict: what other programs could read otherwise is refused, wherever it stands in what CNI or netavark say.
func TestStrict(t *testing.T) {
	const result = `"prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"interface":0,"address":"10.0.0.2/8"}]}`
	entry := func(more string) string { return `{"cniVersion":"1.0.0","name":"n","type":"mcpnet",` + more + `}` }
	for text, says := range map[string]string{
		entry(`"policy":{"gateway":"10.0.0.1"},` + result):                       "",
		entry(`"policy":{"gateway":"10.0.0.1","gateway":"10.0.0.9"}`):            "/policy/gateway stands there twice",
		entry(`"runtimeConfig":{"IPs":["10.0.0.1"]}`):                            `"IPs" is not "ips"`,
		entry(`"args":{"CNI":{"mcpnet.role":"gateway"}}`):                        `"CNI" is not "cni"`,
		entry(`"runtimeConfig":{"io.kubernetes.cri.pod-annotationſ":{}}`):        "is not",
		entry(strings.Replace(result, `"address"`, `"addreſs"`, 1)):              "is not \"address\"",
		entry(strings.Replace(result, `"sandbox"`, `"Sandbox":"","sandbox"`, 1)): "is not \"sandbox\"",
		entry(`"Name":"other"`):                                                  `"Name" is not "name"`,
	} {
		if _, err := parseEntry([]byte(text)); (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	for _, text := range []string{entry(`"ipam":{"type":"host-local","Ranges":[[{"subnet":"10.0.0.0/8"}]]}`),
		entry(`"ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/8","Gateway":"10.0.0.7"}]]}`)} {
		if _, err := ipam.Open("host-local", []byte(text), nil); err == nil || !strings.Contains(err.Error(), "is not") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, says := range map[string]string{
		`{"network":{"options":{"mcpnet.gateway":"10.0.0.1","mcpnet.gateway":"10.0.0.9"}}}`: "stands there twice",
		`{"network_options":{"Static_ips":["10.0.0.1"]}}`:                                   `"Static_ips" is not "static_ips"`,
		`{"container_name":"a"} {}`:                                                         "more follows",
	} {
		for _, verb := range []string{"setup", "teardown"} {
			if _, err := serveNetavark([]string{verb, "/x"}, strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s %s: %v, want %q", verb, text, err, says)
			}
		}
	}
	for _, text := range []string{`{"subnets":[],"Subnets":[{}]}`, `{"optionſ":{}}`, `{"internal":true,"internal":false}`} {
		if _, err := createNetavark(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "standard input: /") {
			t.Errorf("create %s: %v", text, err)
		}
	}
	for _, text := range []string{"mcpnet.role=server;mcpnet.role=gateway", "IP=10.0.0.1;IP=10.0.0.2"} {
		if _, err := parseArgs(text); err == nil || !strings.Contains(err.Error(), "given twice") {
			t.Errorf("CNI_ARGS %s: %v", text, err)
		}
	}
}

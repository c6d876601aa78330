package cni

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

// allVersions are those that the table speaks of, in their order.
var allVersions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// since tells whether a version is as new as another.
func since(v, first string) bool {
	newer, err := version.GreaterThanOrEqualTo(v, first)
	return err == nil && newer
}

func versionRows() []row {
	rows := []row{
		{name: "VERSION", run: answersVersion},
		{name: "a version that nobody knows", run: refusesVersions},
	}
	for _, v := range allVersions {
		rows = append(rows,
			row{name: v + ": the result and the verbs", version: v, run: protocolOfVersion},
			row{name: v + ": through libcni", version: v, run: lifeThroughLibcni})
	}
	return rows
}

func answersVersion(l *lab) {
	for _, stdin := range []string{`{"cniVersion": "1.0.0"}`, "", "not JSON"} {
		out, err := l.exec(l.s.plugin, "VERSION", []byte(stdin), testcni.Call{})
		if err != nil {
			l.fault("VERSION with %q: %v", stdin, err)
			continue
		}
		var answer struct {
			CNIVersion        string   `json:"cniVersion"`
			SupportedVersions []string `json:"supportedVersions"`
		}
		l.succeeds(json.Unmarshal(out, &answer), "VERSION: %s", out)
		l.want(slices.Equal(answer.SupportedVersions, l.s.supports), "VERSION: supports %v instead of %v", answer.SupportedVersions, l.s.supports)
		l.want(answer.CNIVersion != "", "VERSION: no cniVersion: %s", out)
	}
}

// refusesVersions: code 1, for every verb, and nothing is made.
func refusesVersions(l *lab) {
	c := l.container()
	for _, v := range []string{"0.1.0", "0.2.0", "0.3.0", "1.9.9", "nonsense"} {
		if slices.Contains(l.s.supports, v) {
			continue
		}
		for _, verb := range []string{"ADD", "DEL", "CHECK", "GC", "STATUS"} {
			_, err := l.bare(verb, c.call(), entry{"cniVersion": v})
			code := types.ErrIncompatibleCNIVersion
			if v == "nonsense" && verb != "ADD" && verb != "DEL" {
				code = types.ErrDecodingFailure // it cannot be compared with the version that brought the verb
			}
			l.refused(err, code, verb+" with cniVersion "+v)
		}
	}
	l.nothingLeft("after versions that nobody knows")
}

// protocolOfVersion runs the plugins with the bare protocol.
func protocolOfVersion(l *lab) {
	c := l.container()
	out, err := l.addAll(c.call())
	if err != nil {
		l.fault("ADD: %v", err)
		return
	}
	l.resultIs(c, out)
	l.verbs(c, out)
	for range 2 {
		printed, err := l.delAll(c.call(), out)
		l.succeeds(err, "DEL")
		l.want(printed == "", "DEL prints %q", printed)
	}
	l.want(len(l.linksOf(c)) == 0, "DEL: the container still has %v", l.linksOf(c))
}

// resultIs reads a result as its version has it.
func (l *lab) resultIs(c *container, out []byte) {
	result, err := create.CreateFromBytes(out)
	if err != nil {
		l.fault("ADD: the result cannot be read: %v: %s", err, out)
		return
	}
	l.want(result.Version() == l.version, "ADD: the result is of version %s", result.Version())
	var shape struct {
		Interfaces []struct{ Name, Sandbox string }
		IPs        []struct {
			Version, Address string
			Interface        *int
		}
	}
	l.succeeds(json.Unmarshal(out, &shape), "ADD: %s", out)
	family := "4" // that key went with 1.0.0
	if since(l.version, "1.0.0") {
		family = ""
	}
	l.want(len(shape.IPs) == 1 && shape.IPs[0].Version == family, "ADD: ips are not of version %s: %s", l.version, out)
	if len(shape.IPs) == 1 {
		at := shape.IPs[0].Interface
		l.want(at != nil && *at < len(shape.Interfaces) && shape.Interfaces[*at].Name == "eth0" && shape.Interfaces[*at].Sandbox == c.Path(),
			"ADD: the address is not of eth0 in the container: %s", out)
	}
}

// verbs: CHECK came with 0.4.0, GC and STATUS with 1.1.0. Before, code 1.
func (l *lab) verbs(c *container, result json.RawMessage) {
	for _, verb := range []struct {
		name, first string
		more        entry
	}{
		{"CHECK", "0.4.0", entry{"prevResult": result}},
		{"GC", "1.1.0", entry{"cni.dev/valid-attachments": []entry{{"containerID": c.id, "ifname": "eth0"}}}},
		{"STATUS", "1.1.0", nil},
	} {
		_, err := l.bare(verb.name, c.call(), verb.more)
		if since(l.version, verb.first) {
			l.succeeds(err, "%s", verb.name)
		} else {
			l.refused(err, types.ErrIncompatibleCNIVersion, verb.name+" with version "+l.version)
		}
	}
}

func lifeThroughLibcni(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.succeeds(l.reaches(server, gateway), "traffic")
	l.succeeds(l.net.Status(context.Background()), "STATUS")
	l.succeeds(l.net.GC(context.Background(), gateway.call, server.call), "GC")
	l.succeeds(l.reaches(server, gateway), "traffic after GC")
	l.del(server)
	l.want(len(l.linksOf(server.container)) == 0, "DEL: the container still has %v", l.linksOf(server.container))
	again := l.add(l.net, server.container, server.call)
	l.succeeds(l.reaches(again, gateway), "traffic after the second ADD")
	caps, err := l.net.Validate(context.Background())
	l.succeeds(err, "libcni's validation of the list")
	l.want(slices.Contains(caps, "ips"), "libcni finds the capabilities %v", caps)
}

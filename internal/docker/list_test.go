package docker

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLists: what the engine lists of networks and containers is read, and nothing of it is lost.
func TestLists(t *testing.T) {
	c := listing(t, map[string]string{
		"/networks": `[{"Id":"n","Name":"tools","Driver":"mcpnet","EnableIPv6":true,"Internal":true,"Options":{"a":"b"},
			"IPAM":{"Config":[{"Subnet":"172.20.0.0/16","IPRange":"172.20.240.0/20","Gateway":"172.20.0.1"}]}},
			{"Id":"o","Name":"other","Driver":"bridge"}]`,
		"/containers/json": `[{"Id":"c","Names":["/search"],"State":"running","HostConfig":{"NetworkMode":"tools"},"NetworkSettings":{"Networks":{
			"tools":{"NetworkID":"n","EndpointID":"e","IPAddress":"172.20.0.100","MacAddress":"02:6b:ac:14:00:64","DriverOpts":{"k":"v"},
				"IPAMConfig":{"IPv4Address":"172.20.0.100"}}}}}]`,
	})
	networks, err := c.Networks(t.Context(), func(driver string) bool { return driver == "mcpnet" })
	if err != nil {
		t.Fatal(err)
	}
	want := []Network{{ID: "n", Name: "tools", Driver: "mcpnet", Options: map[string]string{"a": "b"}, Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		IPRange: netip.MustParsePrefix("172.20.240.0/20"), Gateway: netip.MustParseAddr("172.20.0.1"), IPv6: true, Internal: true}}
	if diff := cmp.Diff(want, networks, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	list, err := c.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := List{Containers: []Container{{ID: "c", Name: "search", Living: true, Network: "tools"}},
		Attachments: []Attachment{{NetworkID: "n", EndpointID: "e", Container: "search", ContainerID: "c", Running: true,
			Address: netip.MustParseAddr("172.20.0.100"), MAC: "02:6b:ac:14:00:64", Asked: true, Options: map[string]string{"k": "v"}}}}
	if diff := cmp.Diff(all, list, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// listing is a client of an engine that answers by the end of the path.
func listing(t *testing.T, answers map[string]string) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		for path, answer := range answers {
			if strings.HasSuffix(r.URL.Path, path) {
				_, _ = io.WriteString(w, answer)
			}
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	c, err := Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

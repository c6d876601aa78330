package dnsmsg_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

func TestCheckHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, ok := range map[string]bool{
		"a": true, "api.example.com": true, "_acme.example.com": true, "xn--bcher-kva.example": true, label + ".com": true,
		strings.Repeat(label+".", 3) + strings.Repeat("a", 61): true,
		strings.Repeat(label+".", 3) + strings.Repeat("a", 62): false,
		"": false, ".": false, "a..b": false, ".a": false, "a.": false, "A.b": false, "a b": false, label + "a.com": false,
		`a\032b.com`: false, "é.com": false, "a*.com": false, "*.com": false, "a/b": false,
	} {
		if err := dnsmsg.CheckHost(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, test := range []struct {
		name, zone, labels string
		ok                 bool
	}{
		{"a.slack.com", "slack.com", "a", true},
		{"a.b.slack.com", "slack.com", "a.b", true},
		{"slack.com", "slack.com", "", false},
		{"notslack.com", "slack.com", "", false},
		{"slack.com.evil.com", "slack.com", "", false},
		{".slack.com", "slack.com", "", false},
	} {
		labels, ok := dnsmsg.Below(test.name, test.zone)
		if ok != test.ok || (ok && labels != test.labels) {
			t.Errorf("%s below %s: %q, %t", test.name, test.zone, labels, ok)
		}
	}
	if n, longest := dnsmsg.Labels("a.bcd.ef"), dnsmsg.LongestLabel("a.bcd.ef"); n != 3 || longest != 3 {
		t.Errorf("%d labels, the longest of %d", n, longest)
	}
}

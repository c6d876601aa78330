package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

func TestDocIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, doc := range policy.Doc() {
		if doc.Key == "" || doc.Values == "" || doc.Default == "" || doc.Meaning == "" {
			t.Errorf("incomplete: %+v", doc)
		}
		if seen[doc.Key] {
			t.Errorf("%s stands twice", doc.Key)
		}
		if strings.HasSuffix(doc.Meaning, ".") {
			t.Errorf("%s: final stop", doc.Key)
		}
		seen[doc.Key] = true
	}
	if len(seen) != 22 {
		t.Errorf("%d keys, want 22", len(seen))
	}
}

// TestDocDefaultsAreTheDefaults keeps what is documented and what is done
// together.
func TestDocDefaultsAreTheDefaults(t *testing.T) {
	options := with()
	for _, doc := range policy.Doc() {
		if doc.Supported && !doc.Endpoint && doc.Default != "required" && doc.Default != "none" {
			options[doc.Key] = doc.Default
		}
	}
	got, err := policy.Parse(options)
	if err != nil {
		t.Fatal(err)
	}
	want, err := policy.Parse(with())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, exact); diff != "" {
		t.Error(diff)
	}
	options[policy.KeyGateway] = "172.20.0.100:8080/tcp"
	if diff := cmp.Diff(options, want.Options()); diff != "" {
		t.Errorf("Options: %s", diff)
	}
}

func TestDocBelongsToTheCaller(t *testing.T) {
	policy.Doc()[0].Key = "x"
	if got := policy.Doc()[0].Key; got != policy.KeyGateway {
		t.Errorf("got %s", got)
	}
}

package format

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// members reads a JSON object.
func members(t *testing.T, data []byte) (m map[string]any) {
	t.Helper()
	check(t, json.Unmarshal(data, &m))
	return m
}

// TestToSchema2 converts documents that commit 82bb395 wrote.
func TestToSchema2(t *testing.T) {
	for path, kind := range map[string]Kind{
		"pods/network.json": OfNetwork, "4f2a9c1e01234567/network.json": OfNetwork,
		"pods/endpoints/pod-eth0.json": OfEndpoint, "4f2a9c1e01234567/endpoints/candidate.json": OfEndpoint,
	} {
		data, err := os.ReadFile(filepath.Join(schema1, "networks", path))
		check(t, err)
		converted, err := convert(kind, data, 2)
		check(t, err)
		want := members(t, data)
		want["schema"] = 2.
		if kind == OfNetwork {
			want["legacy"] = true
		}
		if diff := cmp.Diff(want, members(t, converted)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestConvert(t *testing.T) {
	same := `{"schema":2,"id":"n"}`
	if got, err := Convert(OfNetwork, []byte(same)); string(got) != same || err != nil {
		t.Errorf("of this schema: %s, %v", got, err)
	}
	kept, err := Convert(OfEndpoint, []byte(`{"schema":1,"later":[1.50,{"x":null}]}`))
	check(t, err)
	want := map[string]any{"schema": 2., "later": []any{1.5, map[string]any{"x": nil}}}
	if diff := cmp.Diff(want, members(t, kept)); diff != "" {
		t.Errorf("a member that is not known: %s", diff)
	}
	for text, newer := range map[string]bool{
		`{"schema":3}`: true, `{"schema":0}`: false, `{"schema":-1}`: false, `{}`: false, `null`: false, `[]`: false,
		``: false, `{"schema":"1"}`: false,
	} {
		if got, err := Convert(OfNetwork, []byte(text)); err == nil || errors.Is(err, ErrNewer) != newer {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if len(migrations) != Schema-1 {
		t.Errorf("%d migrations lead to schema %d", len(migrations), Schema)
	}
}

func TestKindOf(t *testing.T) {
	for path, want := range map[string]Kind{
		"n/network.json": OfNetwork, "n/endpoints/a.json": OfEndpoint, "n/endpoints/attaching.json": OfEndpoint,
		"n/swept": "", "n/addresses/10.0.0.1": "", "n/endpoints/.a.json.123": "", "n/network.corrupt": "",
		"n/endpoints/a.json.new": "",
	} {
		if got, ok := kindOf(path); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", path, got, ok)
		}
	}
}

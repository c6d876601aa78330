package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRecipes runs the recipes as they are written. In each the server reaches the gateway, where there is one, and
// nothing else.
func TestRecipes(t *testing.T) {
	t.Parallel()
	r := installed(t)
	ran := 0
	blocks, _ := readPage(t, "docs/recipes.md").split()
	egress, _ := readPage(t, "docs/egress.md").split()
	for _, b := range append(blocks, egress...) {
		if b.language != "sh" {
			continue
		}
		ran++
		t.Run(b.section, func(t *testing.T) {
			if b.section == remap { // another engine's settings
				r := installed(t)
				r.set(t, recipe(t, "docs/recipes.md", remap, "json")[0])
				r.follow(t, b)
			} else {
				r.follow(t, b)
			}
		})
	}
	if ran < 5 {
		t.Errorf("%d recipes", ran)
	}
}

// remap is the heading of the recipe that changes the engine's settings.
const remap = "Userns-remap"

// installed is a reader who has done the first part of the quick start.
func installed(t *testing.T) *reader {
	t.Helper()
	r := newReader(t)
	for _, command := range recipe(t, "README.md", quickStart, "sh")[:3] {
		r.run(t, command)
	}
	return r
}

// set puts settings into the engine's daemon.json.
func (r *reader) set(t *testing.T, settings string) {
	t.Helper()
	path := r.Path("/etc/docker/daemon.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for _, some := range []string{string(text), settings} {
		if err := json.Unmarshal([]byte(some), &all); err != nil {
			t.Fatalf("%s: %v", some, err)
		}
	}
	if text, err = json.Marshal(all); err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// follow runs a recipe, and tries what its server reaches.
func (r *reader) follow(t *testing.T, b block) {
	t.Helper()
	var gateway, server string
	for _, command := range b.commands() {
		r.run(t, command)
		gateway, server = noted(command, gateway, "-gateway"), noted(command, server, "-server")
	}
	beyond := "Network is unreachable"
	if strings.Contains(strings.Join(b.commands(), "\n"), "mcpnet.allow=") { // its routes lead to the router, which refuses
		beyond = "Connection refused"
	}
	if server != "" {
		r.reaches(t, server, gateway, beyond)
	}
}

// recipe are the commands of a section, or the texts of its blocks in another language.
func recipe(t *testing.T, path, section, language string) (out []string) {
	t.Helper()
	blocks, _ := readPage(t, path).split()
	for _, b := range blocks {
		switch {
		case b.section != section || b.language != language:
		case language == "sh":
			out = append(out, b.commands()...)
		default:
			out = append(out, b.text())
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s: %q has nothing to run", path, section)
	}
	return out
}

// noted is the name of a container that a command makes, when it ends alike.
func noted(command, before, end string) string {
	_, rest, ok := strings.Cut(command, "--name ")
	name, _, _ := strings.Cut(rest, " ")
	if !ok || !strings.HasSuffix(name, end) {
		return before
	}
	return name
}

// reaches checks that a server reaches its gateway's port 8080, and neither another port nor the internet.
func (r *reader) reaches(t *testing.T, server, gateway, beyond string) {
	t.Helper()
	get := func(target string) string {
		out, err := r.Exec("sh", "-c", "docker exec "+server+" wget -qO- http://"+target+" 2>&1")
		return fmt.Sprint(out, " (", err, ")")
	}
	var answer string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !strings.Contains(answer, "hello"); time.Sleep(100 * time.Millisecond) {
		answer = get(gateway + ":8080/")
	}
	if !strings.Contains(answer, "hello") {
		t.Errorf("%s does not reach %s: %s", server, gateway, answer)
	}
	for target, want := range map[string]string{gateway + ":9090/": "Connection refused", "1.1.1.1/": beyond} {
		if out := get(target); !strings.Contains(out, want) {
			t.Errorf("%s → %s: %s, want %s", server, target, out, want)
		}
	}
}

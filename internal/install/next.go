package install

import (
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// installed are the commands that start the service and have engines read their configuration: the user starts things,
// not this command. In another tree there is nothing to start yet.
func installed(root string, actions []Action) []string {
	of := func(a Action) bool { return a.Part == Service && a.Verb != action.Unchanged }
	replaced := func(a Action) bool { return a.Part == Service && a.Verb == action.Replace }
	engines := reloads(root, reload, actions)
	switch {
	case !slices.ContainsFunc(actions, of):
		return engines
	case root != "/":
		return []string{"systemctl --root=" + root + " enable mcpnet"}
	case slices.ContainsFunc(actions, replaced):
		again := "systemctl daemon-reload && systemctl enable mcpnet && systemctl restart mcpnet"
		return append([]string{again}, engines...)
	}
	return append([]string{"systemctl daemon-reload && systemctl enable --now mcpnet"}, engines...)
}

// uninstalled are the commands that have systemd forget a unit that is gone, and engines a runtime.
func uninstalled(root string, actions []Action) []string {
	gone := func(a Action) bool { return a.Path == part.UnitPath && a.Verb == action.Remove }
	engines := reloads(root, restart, actions)
	if root != "/" || !slices.ContainsFunc(actions, gone) {
		return engines
	}
	return append([]string{"systemctl daemon-reload"}, engines...)
}

// reload makes an engine know a runtime, and restart makes it forget one. A running Docker adds runtimes, but keeps a
// runtime and a default that its configuration no longer names. Podman has no daemon.
var (
	reload = map[Engine]string{
		part.Docker:     "systemctl reload docker",
		part.Containerd: "systemctl restart containerd",
		part.CRIO:       "systemctl restart crio",
	}
	restart = map[Engine]string{
		part.Docker: "systemctl restart docker", part.Containerd: reload[part.Containerd], part.CRIO: reload[part.CRIO],
	}
)

func reloads(root string, how map[Engine]string, actions []Action) (commands []string) {
	if root != "/" {
		return nil
	}
	changes := []Verb{action.Write, action.Replace, action.Edit, action.Remove}
	for _, e := range Engines {
		changed := func(a Action) bool { return a.Part == e.Part() && slices.Contains(changes, a.Verb) }
		if command, ok := how[e]; ok && slices.ContainsFunc(actions, changed) {
			commands = append(commands, command)
		}
	}
	return commands
}

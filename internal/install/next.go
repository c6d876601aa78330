package install

import "slices"

// installed are the commands that make the service run and engines read their configuration anew: nothing is started behind
// the user's back. In another tree there is nothing to start yet.
func installed(root string, actions []Action) []string {
	of := func(a Action) bool { return a.Part == Service }
	replaced := func(a Action) bool { return a.Part == Service && a.Verb == Replace }
	switch {
	case !slices.ContainsFunc(actions, of):
		return reloads(root, reload, actions)
	case root != "/":
		return []string{"systemctl --root=" + root + " enable mcpnet"}
	case slices.ContainsFunc(actions, replaced):
		return append([]string{"systemctl daemon-reload && systemctl enable mcpnet && systemctl restart mcpnet"}, reloads(root, reload, actions)...)
	}
	return append([]string{"systemctl daemon-reload && systemctl enable --now mcpnet"}, reloads(root, reload, actions)...)
}

// uninstalled makes systemd forget a unit that is gone, and engines a runtime.
func uninstalled(root string, actions []Action) []string {
	gone := func(a Action) bool { return a.Path == unitPath && a.Verb == Remove }
	if root != "/" || !slices.ContainsFunc(actions, gone) {
		return reloads(root, restart, actions)
	}
	return append([]string{"systemctl daemon-reload"}, reloads(root, restart, actions)...)
}

// reload is how an engine takes over a runtime, and restart how it forgets one. Docker adds to its runtimes as it runs, and
// keeps one, and a default, that its configuration names no more. Podman has no daemon.
var (
	reload = map[Engine]string{
		Docker:     "systemctl reload docker",
		Containerd: "systemctl restart containerd",
		CRIO:       "systemctl restart crio",
	}
	restart = map[Engine]string{Docker: "systemctl restart docker", Containerd: reload[Containerd], CRIO: reload[CRIO]}
)

func reloads(root string, how map[Engine]string, actions []Action) (commands []string) {
	if root != "/" {
		return nil
	}
	for _, e := range Engines {
		changed := func(a Action) bool {
			return a.Part == e.part() && slices.Contains([]Verb{Write, Replace, Edit, Remove}, a.Verb)
		}
		if command, ok := how[e]; ok && slices.ContainsFunc(actions, changed) {
			commands = append(commands, command)
		}
	}
	return commands
}

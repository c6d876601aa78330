package install

import "slices"

// installed are the commands that make the service run: nothing is started behind the user's back. In another tree there
// is nothing to start yet.
func installed(root string, actions []Action) []string {
	return append(serviceInstalled(root, actions), reloads(root, actions)...)
}

// reloads are the commands by which engines take a changed configuration. Podman reads its own each time.
func reloads(root string, actions []Action) (commands []string) {
	if root != "/" {
		return nil
	}
	for _, engine := range []struct {
		part    Part
		command string
	}{{Docker, "systemctl reload docker"}, {Containerd, "systemctl restart containerd"}, {CRIO, "systemctl restart crio"}} {
		changed := func(a Action) bool {
			return a.Part == engine.part && slices.Contains([]Verb{Write, Replace, Remove}, a.Verb)
		}
		if slices.ContainsFunc(actions, changed) {
			commands = append(commands, engine.command)
		}
	}
	return commands
}

func serviceInstalled(root string, actions []Action) []string {
	of := func(a Action) bool { return a.Part == Service }
	replaced := func(a Action) bool { return a.Part == Service && a.Verb == Replace }
	switch {
	case !slices.ContainsFunc(actions, of):
		return nil
	case root != "/":
		return []string{"systemctl --root=" + root + " enable mcpnet"}
	case slices.ContainsFunc(actions, replaced):
		return []string{"systemctl daemon-reload && systemctl enable mcpnet && systemctl restart mcpnet"}
	}
	return []string{"systemctl daemon-reload && systemctl enable --now mcpnet"}
}

// uninstalled makes systemd forget a unit that is gone.
func uninstalled(root string, actions []Action) []string {
	return append(serviceUninstalled(root, actions), reloads(root, actions)...)
}

func serviceUninstalled(root string, actions []Action) []string {
	gone := func(a Action) bool { return a.Path == unitPath && a.Verb == Remove }
	if root != "/" || !slices.ContainsFunc(actions, gone) {
		return nil
	}
	return []string{"systemctl daemon-reload"}
}

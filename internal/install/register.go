package install

// This file gathers what registers the OCI runtime with the engines that are asked for.

// editors take mcpnet's part out of configurations that are not its own.
var editors = map[Part]editor{Docker.part(): dockerEditor{}, Containerd.part(): blockEditor{}}

// registrations are the engines' files and changes.
func (r Request) registrations(h host, m manifest) (wants, error) {
	w := wants{options: map[Part]options{}}
	for _, e := range r.Engines {
		o := options{Default: r.SetDefault, Hooks: r.Hooks && e == Podman}.or(m.Options[e.part()])
		w.options[e.part()] = o
		switch e {
		case Docker:
			w.changes = append(w.changes, change{part: e.part(), path: dockerPath, editor: dockerEditor{setDefault: r.SetDefault, force: r.Force}})
		case Containerd:
			files, c, err := h.containerd(m, o)
			if err != nil {
				return w, err
			}
			w.files, w.changes = append(w.files, files...), append(w.changes, c)
		case CRIO:
			w.files = append(w.files, crioFiles(o)...)
		case Podman:
			w.files = append(w.files, podmanFiles(o)...)
		}
	}
	return w, nil
}

// containerd reads containerd's settings, on which depends where mcpnet's part goes.
func (h host) containerd(m manifest, o options) ([]file, change, error) {
	refused := change{part: Containerd.part(), path: containerdPath}
	if err := h.contain(containerdPath); err != nil {
		return nil, refused, err
	}
	s, err := h.see(containerdPath)
	if err != nil {
		return nil, refused, withRemedy(err)
	}
	recorded, _ := m.findEdit(containerdPath)
	c, patterns, err := readContainerd(s, recorded)
	if err == nil {
		var files []textFile
		if files, err = h.imports(patterns); err != nil {
			return nil, refused, err
		}
		c, err = c.withImports(files)
	}
	if err != nil {
		refused.problem = err
		return nil, refused, nil
	}
	files, wanted := containerdWants(c, o)
	return files, wanted, nil
}

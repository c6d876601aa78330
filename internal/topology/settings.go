package topology

// Settings names what the kernel's IPv4 settings of a link amount to. Package link has the values.
type Settings string

const (
	// SettingsQuiet keep a link dead for the namespace's stack without rules.
	SettingsQuiet Settings = "quiet"
	// SettingsRouter let packets pass whose source the subnet's route leads back to.
	SettingsRouter Settings = "router"
	// SettingsUplink let back in what went out.
	SettingsUplink Settings = "uplink"
	// SettingsOther are none of these.
	SettingsOther Settings = ""
)

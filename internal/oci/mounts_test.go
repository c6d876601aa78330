package oci_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMounts: a place of the host is known under whatever path, and what engines mount into every container is none.
func TestMounts(t *testing.T) {
	dir := t.TempDir()
	link, proc, root := filepath.Join(dir, "link"), filepath.Join(dir, "proc"), filepath.Join(dir, "root")
	if err := os.Symlink("/run", link); err != nil {
		t.Fatal(err)
	}
	mounted(t, "proc", proc, "proc", 0, "")
	mounted(t, "/", root, "", unix.MS_BIND, "")
	// Volumes of Docker's with type=overlay, and Podman's -v DIRECTORY:/x:O.
	overlay, again, plain := filepath.Join(dir, "overlay"), filepath.Join(dir, "again"), t.TempDir()+"/a,b:c"
	for _, d := range []string{plain, plain + "/sub"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	escaped := strings.NewReplacer(",", `\,`, ":", `\:`).Replace(plain)
	mounted(t, "overlay", overlay, "overlay", 0, "lowerdir="+escaped+":/etc")
	mounted(t, "overlay", again, "overlay", 0, "lowerdir="+escaped+":"+overlay)
	data := filepath.Join(t.TempDir(), "data")
	mounted(t, "overlay", data, "overlay", 0, "lowerdir="+escaped+":"+t.TempDir())
	programs := t.TempDir()
	mounted(t, "/usr/local/bin", filepath.Join(programs, "bin"), "", unix.MS_BIND, "")
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bind := func(source string) string {
		return fmt.Sprintf(`{"destination":"/x","type":"bind","source":%q,"options":["rbind","ro"]}`, source)
	}
	for name, tt := range map[string]struct{ mount, says string }{
		"the host":          {bind("/"), `mounts "/" at "/x": all of the host's files`},
		"a link":            {bind(link), "sockets of the host's services"},
		"a socket":          {bind(socket), "Docker's socket"},
		"another proc":      {bind(proc), "the host's processes"}, // as a volume of Docker's with type=proc
		"the host again":    {bind(root), "all of the host's files"},
		"its part":          {bind(filepath.Join(root, "etc")), "the host's configuration"},
		"what is below":     {bind(dir), "host's"},
		"an overlay":        {`{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/srv:/etc","upperdir=/srv/u"]}`, "the host's configuration"},
		"a relative layer":  {`{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/srv:../../etc"]}`, "the host's configuration"},
		"a layer's link":    {fmt.Sprintf(`{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=%s:/srv"]}`, link), "sockets of the host's services"},
		"an overlay's":      {bind(overlay), "the host's configuration"},
		"an overlay's part": {bind(filepath.Join(overlay, "ssl/../cron.d")), "what the host runs"},
		"overlay's overlay": {bind(again), "the host's configuration"},
		"overlay's data":    {bind(data), ""},
		"proc elsewhere":    {`{"destination":"/x","type":"proc","source":"proc"}`, "not masked"},
		"sysfs to write":    {`{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid"]}`, "not read-only"},
		"the host's /dev":   {`{"destination":"/x","type":"devtmpfs","source":"devtmpfs"}`, "kernel"},
		"programs to write": {strings.Replace(bind("/usr/local/bin"), `,"ro"`, "", 1), "the host's programs (mount it read-only)"},
		"written after all": {strings.Replace(bind("/usr/local/bin"), `"ro"`, `"ro","rw"`, 1), "the host's programs (mount it read-only)"},
		"programs to read":  {bind("/usr/local/bin"), ""},
		"below, to write":   {bind(programs), "the host's programs (mount it read-only)"},
		"below, to read":    {strings.Replace(bind(programs), `"ro"`, `"rro"`, 1), ""},
		"written layer":     {`{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/srv","upperdir=/usr/local/bin"]}`, "the host's programs"},
		"read layer":        {`{"destination":"/x","type":"overlay","source":"overlay","options":["lowerdir=/usr/local/bin:/srv"]}`, ""},
		"relative":          {bind("../../../../etc"), "write the whole path"},
		"relative, by name": {`{"destination":"/x","type":"none","source":"etc","options":["ro","rbind"]}`, "write the whole path"},
		"no source":         {`{"destination":"/x","type":"bind"}`, "write the whole path"},
		"a relative disk":   {`{"destination":"/x","type":"ext4","source":"dev/sda1"}`, "a disk of the host"},
		"a disk":            {`{"destination":"/x","type":"ext4","source":"/dev/sda1"}`, "a disk of the host"},
		"missing":           {bind("/run/docker/nonexistent.sock"), "sockets of Docker"},
		"proc":              {`{"destination":"/proc/","type":"proc","source":"proc"}`, ""},
		"sysfs":             {`{"destination":"/sys","type":"sysfs","source":"sysfs","options":["ro"]}`, ""},
		"tmpfs":             {`{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["mode=755"]}`, ""},
		"a directory":       {bind(t.TempDir()), ""},
		"Docker's own file": {bind("/var/lib/docker/containers/0/hosts"), ""},
		"a volume":          {bind("/var/lib/docker/volumes/v/_data"), ""},
	} {
		text := strings.Replace(bundle, `"mounts":[`, `"mounts":[`+tt.mount+`,`, 1)
		problems, err := parse(t, text).Breaches()
		if err != nil || (tt.says == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), tt.says) {
			t.Errorf("%s: %q, %v, want %q", name, problems, err, tt.says)
		}
	}
}

// TestRoot: the host's files are none for a container's root, under whatever path.
func TestRoot(t *testing.T) {
	dir := t.TempDir()
	host, own := filepath.Join(dir, "host"), filepath.Join(dir, "own")
	mounted(t, "/", host, "", unix.MS_BIND, "")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	other, layers := filepath.Join(dir, "other"), filepath.Join(dir, "layers")
	mounted(t, "tmpfs", other, "tmpfs", 0, "")
	mounted(t, "overlay", layers, "overlay", 0, "lowerdir=/:"+other)
	for root, says := range map[string]string{
		"/": `root file system "/": all of the host's files`, host: "all of the host's files", layers: "all of the host's files",
		filepath.Join(host, "usr"): "the host's programs", "host": "all of the host's files", "../" + filepath.Base(dir) + "/host": "all of the host's files",
		own: "", "own": "", "/var/lib/docker/overlay2/0123/merged": "", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/0123/rootfs": "",
	} {
		d := parse(t, strings.Replace(bundle, `"mounts":[`, fmt.Sprintf(`"root":{"path":%q},"mounts":[`, root), 1))
		d.In(dir)
		problems, err := d.Breaches()
		if err != nil || (says == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), says) {
			t.Errorf("%s: %q, %v, want %q", root, problems, err, says)
		}
	}
}

// TestTwice: two namespaces of one kind are refused, whichever of them is the container's own.
func TestTwice(t *testing.T) {
	for _, kind := range []string{"network", "pid", "ipc", "mount", "uts"} {
		text := strings.Replace(bundle, `"namespaces":[`, fmt.Sprintf(`"namespaces":[{"type":%q,"path":"/proc/self/ns/net"},`, kind), 1)
		if problems, err := parse(t, text).Breaches(); err == nil || !strings.Contains(err.Error(), "names the "+kind+" namespace twice") {
			t.Errorf("%s: %q, %v", kind, problems, err)
		}
	}
}

// mounted mounts a file system until the test ends.
func mounted(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestReach: devices by what they are on the host, and files of /proc that engines protect.
func TestReach(t *testing.T) {
	with := func(from, to string) string { return strings.Replace(bundle, from, to, 1) }
	device := func(text string) string { return with(`"linux":{`, `"linux":{"devices":[`+text+`],`) }
	rule := func(text string) string { return with(`"devices":[`, `"devices":[`+text+`,`) }
	for name, tt := range map[string]struct{ text, says string }{
		"a disk by another name": {device(`{"path":"/dev/null2","type":"b","major":8,"minor":0}`), `device "/dev/null2": a disk of the host`},
		"memory":                 {device(`{"path":"/dev/x","type":"c","major":1,"minor":1}`), "the host's memory"},
		"memory, unbuffered":     {device(`{"path":"/dev/x","type":"u","major":1,"minor":1}`), "the host's memory"},
		"memory, for crun":       {device(`{"path":"/dev/x","type":"memory","major":1,"minor":1}`), "the host's memory"},
		"a disk, for crun":       {device(`{"path":"/dev/x","type":"block","major":8,"minor":0}`), "a disk of the host"},
		"a disk's rule for crun": {rule(`{"allow":true,"type":"block","major":8,"access":"r"}`), "a disk of the host"},
		"memory's rule for crun": {rule(`{"allow":true,"type":"x","major":1,"minor":1,"access":"r"}`), "the host's memory"},
		"the console":            {device(`{"path":"/dev/x","type":"c","major":5,"minor":1}`), "terminal"},
		"nothing":                {device(`{"path":"/dev/mem","type":"c","major":1,"minor":3}`), ""},
		"a pipe":                 {device(`{"path":"/dev/x","type":"p"}`), ""},
		"a disk's rule":          {rule(`{"allow":true,"type":"b","major":8,"access":"r"}`), "a disk of the host"},
		"every USB device":       {rule(`{"allow":true,"type":"c","major":189,"access":"rw"}`), `devices "c 189:* rw": the host's hardware`},
		"other devices":          {rule(`{"allow":true,"type":"c","major":10,"minor":-1,"access":"rwm"}`), `devices "c 10:* rwm"`},
		"every terminal":         {rule(`{"allow":true,"type":"c","major":5,"minor":1,"access":"rwm"},{"allow":true,"type":"c","major":136,"access":"rwm"}`), ""},
		"another's rule":         {rule(`{"allow":true,"type":"c","major":188,"access":"rw"}`), ""},
		"kcore open":             {with(`"/proc/kcore"`, `"/proc/keys"`), "open /proc/kcore"},
		"proc open":              {with(`"maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys","/proc/sysrq-trigger"]`, `"maskedPaths":[],"readonlyPaths":null`), "open /proc/sys, /proc/sysrq-trigger, /proc/kcore"},
	} {
		problems, err := parse(t, tt.text).Breaches()
		if err != nil || (tt.says == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), tt.says) {
			t.Errorf("%s: %q, %v, want %q", name, problems, err, tt.says)
		}
	}
}

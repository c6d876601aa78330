package testengine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/moby/moby/client"
)

// File is one executable of an image.
type File struct {
	// Path is where it lies in the image.
	Path string
	// Source is the file on the machine; it must need no libraries.
	Source string
}

// Image is an image made on the spot: no registry is asked.
type Image struct {
	Tag   string
	Files []File
	// Changes are Dockerfile instructions, such as `CMD ["/gateway"]`.
	Changes []string
}

// Import makes an image of busybox and the files, and fails the test when that
// cannot be done.
func (e *Engine) Import(tag string, files ...File) {
	e.t.Helper()
	e.ImportImage(Image{Tag: tag, Files: files})
}

// ImportImage makes an image of busybox and what the value lists.
func (e *Engine) ImportImage(image Image) {
	e.t.Helper()
	if err := e.importImage(image); err != nil {
		e.t.Fatalf("docker %s: image %s: %v", e.opts.Version, image.Tag, err)
	}
}

func (e *Engine) importImage(image Image) error {
	root, err := imageTar(image.Files)
	if err != nil {
		return err
	}
	source := client.ImageImportSource{Source: root, SourceName: "-"}
	result, err := e.client.ImageImport(context.Background(), source, image.Tag,
		client.ImageImportOptions{Changes: image.Changes})
	if err != nil {
		return err
	}
	defer result.Close()
	_, err = io.Copy(io.Discard, result)
	return err
}

// imageTar is the image's file tree: busybox under the names of its applets,
// two accounts, a /tmp, and the files.
func imageTar(files []File) (io.Reader, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: run scripts/deps.sh", err)
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox applets: %w", err)
	}
	var buf bytes.Buffer
	t := treeWriter{w: tar.NewWriter(&buf)}
	for _, dir := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "root/"} {
		t.add(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	t.add(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	t.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
	t.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			t.add(&tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	for _, f := range append([]File{{Path: "/bin/busybox", Source: busybox}}, files...) {
		t.file(f)
	}
	t.keep(t.w.Close())
	return &buf, t.err
}

// treeWriter writes a tar archive and holds its first error.
type treeWriter struct {
	w   *tar.Writer
	err error
}

func (t *treeWriter) keep(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *treeWriter) add(header *tar.Header, content []byte) {
	if t.err != nil {
		return
	}
	header.Size = int64(len(content))
	t.keep(t.w.WriteHeader(header))
	if len(content) > 0 {
		_, err := t.w.Write(content)
		t.keep(err)
	}
}

func (t *treeWriter) text(name, content string) {
	t.add(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, []byte(content))
}

func (t *treeWriter) file(f File) {
	content, err := os.ReadFile(f.Source)
	if err != nil {
		t.keep(err)
		return
	}
	name := strings.TrimPrefix(path.Clean(f.Path), "/")
	t.add(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755}, content)
}

package testengine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// reference is the full name of an image made on the spot, which names no
// registry: "probe" is localhost/probe:latest.
func reference(tag string) string {
	if !strings.Contains(tag, "/") {
		tag = "localhost/" + tag
	}
	if !strings.Contains(tag[strings.LastIndexByte(tag, '/'):], ":") {
		tag += ":latest"
	}
	return tag
}

// imageArchive is an image of busybox and the files as `docker save` writes it,
// which containerd imports.
func imageArchive(ref string, command []string, files []File) (io.Reader, error) {
	root, err := imageTar(files)
	if err != nil {
		return nil, err
	}
	layer, err := io.ReadAll(root)
	if err != nil {
		return nil, err
	}
	config := map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "Cmd": command},
		"rootfs": map[string]any{
			"type":     "layers",
			"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))},
		},
	}
	manifest := []map[string]any{{"Config": "config.json", "RepoTags": []string{ref}, "Layers": []string{"layer.tar"}}}
	var buf bytes.Buffer
	t := treeWriter{w: tar.NewWriter(&buf)}
	t.json("manifest.json", manifest)
	t.json("config.json", config)
	t.text("layer.tar", string(layer))
	t.keep(t.w.Close())
	return &buf, t.err
}

func (t *treeWriter) json(name string, value any) {
	data, err := json.Marshal(value)
	t.keep(err)
	t.text(name, string(data))
}

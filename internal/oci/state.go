package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// State is what a runtime tells of a container (OCI runtime specification, runtime.md "State").
type State struct {
	ID     string `json:"id"`
	PID    int    `json:"pid"`
	Bundle string `json:"bundle"`
}

// ParseState reads the state of a container that has a process.
func ParseState(data []byte) (s State, err error) {
	if err = strictjson.Unmarshal(data, &s); err != nil {
		return s, err
	}
	return s, s.check()
}

func (s State) check() error {
	if s.PID <= 0 || s.Bundle == "" {
		return errors.New("pid and bundle are missing")
	}
	return nil
}

// ReadState reads the state of a container as runc and crun keep it below their root.
func ReadState(roots []string, id string) (State, error) {
	if id == "" || id != filepath.Base(id) || id == "." || id == ".." {
		return State{}, fmt.Errorf("container %q: not an id", id)
	}
	var tried []string
	for _, root := range roots {
		// crun's file has the form of the specification.
		for file, parse := range map[string]func([]byte) (State, error){"state.json": runcState, "status": ParseState} {
			path := filepath.Join(root, id, file)
			data, err := os.ReadFile(path)
			if err != nil {
				tried = append(tried, path)
				continue
			}
			s, err := parse(data)
			if err != nil {
				return State{}, fmt.Errorf("%s: no state of runc's or crun's that this version knows: %w", path, err)
			}
			s.ID = id
			return s, nil
		}
	}
	return State{}, fmt.Errorf("container %s: no state at %s", id, strings.Join(tried, " nor "))
}

// runcState reads libcontainer's state, where the bundle is one of the labels.
func runcState(data []byte) (State, error) {
	var kept struct {
		PID    int `json:"init_process_pid"`
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	if err := strictjson.Unmarshal(data, &kept); err != nil {
		return State{}, err
	}
	s := State{PID: kept.PID}
	for _, l := range kept.Config.Labels {
		if bundle, ok := strings.CutPrefix(l, "bundle="); ok {
			s.Bundle = bundle
		}
	}
	return s, s.check()
}

// AskState has the runtime itself tell a container's state, where its files are none that ReadState knows.
func (c Call) AskState(runtime string) (State, error) {
	args := append(append([]string{}, c.global...), "state", c.ID())
	out, err := exec.Command(runtime, args...).Output()
	if err != nil {
		return State{}, fmt.Errorf("container %s: %s state: %w", c.ID(), runtime, err)
	}
	s, err := ParseState(out)
	if err != nil {
		return s, fmt.Errorf("container %s: %s state: %w", c.ID(), runtime, err)
	}
	return s, nil
}

package router

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/control"
	"github.com/mcpnet/mcpnet/internal/router/process"
)

// start starts the process in the network's namespace, with the sockets that it answers at and one to talk over.
func (r *Router) start() (*control.Conn, *exec.Cmd, error) {
	conn, other, err := control.Pair()
	if err != nil {
		return nil, nil, err
	}
	defer other.Close()
	command := r.config.Command
	cmd := exec.Command(command[0], append(command[1:len(command):len(command)], process.Argument)...)
	// Go's runtime would keep the files of its control group open.
	cmd.Env, cmd.Dir = []string{"GOTRACEBACK=none", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}, "/"
	cmd.WaitDelay = time.Second
	cmd.Stderr = &complaints{log: r.config.Log, network: r.config.Network}
	cmd.ExtraFiles = append([]*os.File{other}, r.sockets.files...)
	// Namespaces of its own for what it has no use for. That of the network is the thread's.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // of the thread that starts it, which lives as long as the router
	if err := r.factory.do(cmd.Start); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, cmd, nil
}

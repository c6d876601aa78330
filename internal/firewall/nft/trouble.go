package nft

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/mcpnet/mcpnet/internal/ns"
)

// What can be wrong with the nft command and with the kernel behind it. Each needs another remedy.
var (
	// ErrNoCommand says that there is no nft command.
	ErrNoCommand = errors.New("there is no nft command: install the package nftables")
	// ErrCrashed says that the command ended by a signal.
	ErrCrashed = errors.New("the nft command crashed: an older one does where a newer one made rules " +
		"(of another program, or of a container that has its own); use the newest nft that is on this host")
	// ErrOldCommand says that the command does not know the language of mcpnet's rules.
	ErrOldCommand = errors.New("the nft command does not understand mcpnet's rules: use nftables 1.0.6 (Debian 12) or later")
	// ErrNotPermitted says that the process lacks what nftables asks for.
	ErrNotPermitted = errors.New("nftables is not permitted: it takes root, or CAP_NET_ADMIN in this network namespace")
	// ErrNoTables says that the kernel has no nftables, or not the families that mcpnet uses.
	ErrNoTables = errors.New("this kernel has no nftables for netdev and inet (CONFIG_NF_TABLES, CONFIG_NF_TABLES_NETDEV, " +
		"CONFIG_NF_TABLES_INET): use a distribution kernel of Linux 5.10 or later, and load the module nf_tables")
	// ErrNoForward says that the kernel cannot forward in ingress, without which a wire leads nowhere.
	ErrNoForward = errors.New("this kernel has no nft_fwd_netdev (CONFIG_NFT_FWD_NETDEV): " +
		"mcpnet's wires need it; use a distribution kernel of Linux 5.10 or later, and load the module nft_fwd_netdev if modules are not loaded on demand")
)

// named says what an error of the nft command means, as far as the command tells by itself.
func (f *Firewall) named(ctx context.Context, err error) error {
	var ended *exec.ExitError
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, exec.ErrNotFound):
		return ErrNoCommand
	case !errors.As(err, &ended):
		return err
	case crashed(ended):
		return fmt.Errorf("%w (%s: %w)", ErrCrashed, f.version(ctx), err)
	case strings.Contains(err.Error(), "syntax error"):
		return fmt.Errorf("%w (%s: %w)", ErrOldCommand, f.version(ctx), err)
	case strings.Contains(strings.ToLower(err.Error()), syscall.EPERM.Error()), strings.Contains(err.Error(), "you must be root"):
		return fmt.Errorf("%w (%w)", ErrNotPermitted, err)
	}
	return err
}

func crashed(ended *exec.ExitError) bool {
	status, ok := ended.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// version is what the command says of itself.
func (f *Firewall) version(ctx context.Context) string {
	out, err := f.ns.Run(ctx, "", "nft", "--version")
	if err != nil {
		return "nft of an unknown version"
	}
	return strings.TrimSpace(out)
}

// The rules of probes, from what every kernel with nftables has to what mcpnet needs.
const (
	probeRule    = "counter"
	probeForward = "fwd to meta iif"
)

// probe is a rule in a chain without a hook. The kernel checks it, and makes nothing.
const probe = "add table netdev mcpnet-probe\nadd chain netdev mcpnet-probe c\nadd rule netdev mcpnet-probe c %s\n"

// minimum finds out what is missing of the minimum.
func (f *Firewall) minimum(ctx context.Context) error {
	err := f.checkRule(ctx, probeForward)
	if err == nil || isNamed(err) || ctx.Err() != nil {
		return err
	}
	if plain := f.checkRule(ctx, probeRule); plain != nil {
		return fmt.Errorf("%w (%w)", ErrNoTables, plain)
	}
	return fmt.Errorf("%w (%w)", ErrNoForward, err)
}

// checkRule asks in a namespace of its own: what others have in theirs says nothing about this kernel, and an older
// command crashes on what a newer one made.
func (f *Firewall) checkRule(ctx context.Context, rule string) error {
	_, err := ns.RunApart(ctx, fmt.Sprintf(probe, rule), "nft", "--check", "-f", "-")
	return f.named(ctx, err)
}

// isNamed tells an error that says what it means.
func isNamed(err error) bool {
	for _, known := range []error{ErrNoCommand, ErrCrashed, ErrOldCommand, ErrNotPermitted} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

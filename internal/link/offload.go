package link

import (
	"fmt"

	"github.com/safchain/ethtool"
)

// hardwareChecksum is the kernel's name of NETIF_F_HW_CSUM.
const hardwareChecksum = "tx-checksum-ip-generic"

// checksumNow has checksums filled in before a link sends, not by whatever link comes last. A sender of raw frames says
// where in the frame its checksum goes (struct virtio_net_hdr, csum_start and csum_offset), also over a port: rules are
// to see what arrives.
func (l *Links) checksumNow(name string) error {
	return l.ns.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return fmt.Errorf("%s: checksum offload: %w", name, err)
		}
		defer e.Close()
		if err := e.Change(name, map[string]bool{hardwareChecksum: false}); err != nil {
			return fmt.Errorf("%s: checksum offload: %w", name, err)
		}
		return nil
	})
}

package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// Host is what an engine says of the machine that it runs on.
type Host struct {
	Info
	// TooOld is true when davit does not speak this engine's API any more.
	TooOld bool
	// StorageDriver is how it keeps images, RootDir where it keeps everything.
	StorageDriver, RootDir string
	// LiveRestore is true when containers outlive a restart of the engine.
	LiveRestore bool
	// CgroupVersion is "1" or "2", "" if the engine does not say.
	CgroupVersion string
	// Rootless and UserNamespaces say that root in a container is not root here.
	Rootless, UserNamespaces bool
	// Apart is why the host reaches none of its containers, "" where it can.
	Apart string
	// Memory is in bytes.
	Memory int64
	// Clock is the engine's; the zero time if it does not say.
	Clock time.Time
	// Warnings are its own, such as limits that the kernel cannot hold.
	Warnings []string
	// Bridges is how many networks take a subnet from the address pools, Subnets
	// how many the pools have.
	Bridges, Subnets int
	// DefaultPools is true when nobody has set the pools.
	DefaultPools bool
}

// oldestAPI is that of engine 20.10, the oldest that davit is tested with.
const oldestAPI = "1.41"

// defaultSubnets is how many networks an engine has room for when nobody has set
// its address pools: fifteen from 172.17.0.0/16 on, and sixteen in
// 192.168.0.0/16.
const defaultSubnets = 31

// Host asks the engine about its machine.
func (e *Engine) Host(ctx context.Context) (Host, error) {
	var h Host
	var err error
	if h.Info, err = e.Ping(ctx); err != nil {
		return h, err
	}
	err = e.do(ctx, "ask the engine about its host", func(ctx context.Context, c *client.Client) error {
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		h.StorageDriver, h.RootDir, h.LiveRestore = info.Driver, info.DockerRootDir, info.LiveRestoreEnabled
		h.CgroupVersion, h.Memory, h.Warnings = info.CgroupVersion, info.MemTotal, info.Warnings
		// A time that cannot be read is one that is not said.
		h.Clock, _ = time.Parse(time.RFC3339Nano, info.SystemTime)
		for _, o := range info.SecurityOptions {
			h.Rootless = h.Rootless || o == "name=rootless"
			h.UserNamespaces = h.UserNamespaces || o == "name=userns"
		}
		h.Apart = secluded(info)
		h.TooOld = versions.LessThan(h.APIVersion, oldestAPI)
		h.Subnets, h.DefaultPools = defaultSubnets, len(info.DefaultAddressPools) == 0
		if !h.DefaultPools {
			h.Subnets = 0
			for _, p := range info.DefaultAddressPools {
				h.Subnets += subnets(p.Base, p.Size)
			}
		}
		return nil
	})
	if err != nil {
		return h, err
	}
	err = e.do(ctx, "list networks", func(ctx context.Context, c *client.Client) error {
		list, err := c.NetworkList(ctx, network.ListOptions{})
		for _, n := range list {
			if n.Driver == "bridge" {
				h.Bridges++
			}
		}
		return err
	})
	return h, err
}

// manySubnets is more than a host can use.
const manySubnets = 1 << 20

// subnets is how many networks of the given size, in bits, a pool has.
func subnets(base string, size int) int {
	p, err := netip.ParsePrefix(base)
	if err != nil || size < p.Bits() {
		return 0
	}
	if size-p.Bits() >= 20 {
		return manySubnets
	}
	return 1 << (size - p.Bits())
}

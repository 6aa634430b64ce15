package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
)

// resources are the service's limits, those under deploy over the others.
func resources(s types.ServiceConfig) (container.Resources, error) {
	r := container.Resources{
		CgroupParent:       s.CgroupParent,
		Memory:             int64(s.MemLimit),
		MemorySwap:         int64(s.MemSwapLimit),
		MemoryReservation:  int64(s.MemReservation),
		OomKillDisable:     &s.OomKillDisable,
		CPUCount:           s.CPUCount,
		CPUPercent:         int64(s.CPUPercent * 100),
		CPUPeriod:          s.CPUPeriod,
		CPUQuota:           s.CPUQuota,
		CPURealtimePeriod:  s.CPURTPeriod,
		CPURealtimeRuntime: s.CPURTRuntime,
		CPUShares:          s.CPUShares,
		CpusetCpus:         s.CPUSet,
		NanoCPUs:           nano(s.CPUS),
		DeviceCgroupRules:  s.DeviceCgroupRules,
		Ulimits:            ulimits(s.Ulimits),
	}
	if s.MemSwappiness != 0 {
		n := int64(s.MemSwappiness)
		r.MemorySwappiness = &n
	}
	if s.PidsLimit != 0 {
		n := s.PidsLimit
		r.PidsLimit = &n
	}
	if s.BlkioConfig != nil {
		blkio(&r, *s.BlkioConfig)
	}
	if s.Deploy != nil {
		limits(&r, s.Deploy.Resources.Limits)
		reservations(&r, s.Deploy.Resources.Reservations)
	}
	return r, devices(&r, s)
}

// nano multiplies as Compose does, in the precision of the model.
func nano(cpus float32) int64 { return int64(cpus * 1e9) }

func limits(r *container.Resources, l *types.Resource) {
	if l == nil {
		return
	}
	if l.MemoryBytes != 0 {
		r.Memory = int64(l.MemoryBytes)
	}
	if l.NanoCPUs != 0 {
		r.NanoCPUs = nano(l.NanoCPUs.Value())
	}
	if l.Pids > 0 {
		n := l.Pids
		r.PidsLimit = &n
	}
}

// reservations maps memory and devices; reserved CPUs mean something only to a
// scheduler of several hosts.
func reservations(r *container.Resources, l *types.Resource) {
	if l == nil {
		return
	}
	if l.MemoryBytes != 0 {
		r.MemoryReservation = int64(l.MemoryBytes)
	}
	for _, d := range l.Devices {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(d, d.Capabilities))
	}
}

func deviceRequest(d types.DeviceRequest, capabilities []string) container.DeviceRequest {
	return container.DeviceRequest{
		Driver: d.Driver, Count: int(d.Count), DeviceIDs: d.IDs,
		Capabilities: [][]string{capabilities}, Options: d.Options,
	}
}

func devices(r *container.Resources, s types.ServiceConfig) error {
	var cdi []string
	for _, d := range s.Devices {
		if d.Source == d.Target && qualified(d.Source) {
			cdi = append(cdi, d.Source)
			continue
		}
		if !strings.HasPrefix(d.Source, "/") {
			return fmt.Errorf("devices %q: want a path on the host", d.Source)
		}
		r.Devices = append(r.Devices, container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions,
		})
	}
	if len(cdi) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	for _, g := range s.Gpus {
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(g, append(slices.Clone(g.Capabilities), "gpu")))
	}
	return nil
}

// qualified reports whether name is a CDI device, vendor/class=device.
func qualified(name string) bool {
	kind, device, ok := strings.Cut(name, "=")
	vendor, class, slash := strings.Cut(kind, "/")
	return ok && slash && device != "" && vendor != "" && class != "" && !strings.Contains(class, "/")
}

func ulimits(m map[string]*types.UlimitsConfig) []*container.Ulimit {
	var list []*container.Ulimit
	for _, name := range slices.Sorted(maps.Keys(m)) {
		u := m[name]
		if u == nil {
			continue // a name without a limit
		}
		list = append(list, &container.Ulimit{
			Name: name,
			Soft: int64(or(u.Soft, u.Single)),
			Hard: int64(or(u.Hard, u.Single)),
		})
	}
	return list
}

func blkio(r *container.Resources, b types.BlkioConfig) {
	r.BlkioWeight = b.Weight
	for _, d := range b.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: d.Path, Weight: d.Weight})
	}
	r.BlkioDeviceReadBps = throttle(b.DeviceReadBps)
	r.BlkioDeviceWriteBps = throttle(b.DeviceWriteBps)
	r.BlkioDeviceReadIOps = throttle(b.DeviceReadIOps)
	r.BlkioDeviceWriteIOps = throttle(b.DeviceWriteIOps)
}

func throttle(list []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var out []*blkiodev.ThrottleDevice
	for _, d := range list {
		out = append(out, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	return out
}

package compose

import (
	"cmp"
	"fmt"
	"strconv"
)

// limits are the attributes of which both values are worth a look.
func (d *difference) limits() {
	old, now := limitsOf(d.old), limitsOf(d.now)
	for _, name := range eitherOf(old, now) {
		if old[name] != now[name] {
			d.say("%s %s -> %s", name, cmp.Or(old[name], "none"), cmp.Or(now[name], "none"))
		}
	}
}

// limitsOf takes the limits out of a service's attributes. Those of deploy win, as
// with Compose.
func limitsOf(attributes map[string]any) map[string]string {
	out := map[string]string{}
	take := func(from map[string]any, key, name string, format func(any) string) {
		if v, ok := from[key]; ok {
			out[name] = format(v)
			delete(from, key)
		}
	}
	take(attributes, "mem_limit", "memory limit", bytesText)
	take(attributes, "mem_reservation", "memory reservation", bytesText)
	take(attributes, "memswap_limit", "memory and swap limit", bytesText)
	take(attributes, "shm_size", "shm_size", bytesText)
	take(attributes, "cpus", "cpus", plainText)
	take(attributes, "pids_limit", "pids limit", plainText)
	resources := below(below(attributes, "deploy"), "resources")
	take(below(resources, "limits"), "memory", "memory limit", bytesText)
	take(below(resources, "limits"), "cpus", "cpus", plainText)
	take(below(resources, "limits"), "pids", "pids limit", plainText)
	take(below(resources, "reservations"), "memory", "memory reservation", bytesText)
	return out
}

func plainText(v any) string { return fmt.Sprint(v) }

// bytesText is a number of bytes in the largest unit that divides it.
func bytesText(v any) string {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil || n <= 0 {
		return fmt.Sprint(v)
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprintf("%d%s", n, units[i])
}

package main

import (
	"path"
	"strings"
)

// rule says why something is not compared.
type rule struct{ field, reason string }

// What no two runs of Compose have in common, or what does not follow from the
// file. Fields are as the engine names them, "*" is any key.
var (
	containerNoise = []rule{
		{"Id", "given by the engine"},
		{"Created", "when it was made"},
		{"State", "nothing is started"},
		{"Image", "the ID of the image that stands in"},
		{"ResolvConfPath", "a file of the engine"},
		{"HostnamePath", "a file of the engine"},
		{"HostsPath", "a file of the engine"},
		{"LogPath", "a file of the engine"},
		{"GraphDriver", "the engine's storage"},
		{"Driver", "the engine's storage"},
		{"AppArmorProfile", "what the engine makes of security_opt once it starts"},
		{"NetworkSettings.SandboxID", "given by the engine"},
		{"NetworkSettings.Networks.*.NetworkID", "given by the engine; its name is compared"},
		{"NetworkSettings.Networks.*.EndpointID", "given by the engine"},
		{"NetworkSettings.Networks.*.IPAddress", "given at the start; what is asked for is compared as IPAMConfig"},
		{"NetworkSettings.Networks.*.GlobalIPv6Address", "the same"},
		{"NetworkSettings.Networks.*.IPv6Gateway", "the same"},
		{"NetworkSettings.Networks.*.DNSNames", "the engine's own sum of the names"},
	}
	networkNoise = []rule{
		{"Id", "given by the engine"},
		{"Created", "when it was made"},
		{"Containers", "those that run"},
	}
	volumeNoise = []rule{
		{"CreatedAt", "when it was made"},
		{"Mountpoint", "a directory of the engine"},
	}
	labelNoise = []rule{
		{"davit.*", "davit's own labels, which Compose does not look at"},
		{"com.docker.compose.version", "who made it"},
		{"com.docker.compose.image", "the ID of the image that stands in"},
	}
)

// unordered are the lists whose order means nothing; Compose fills most of them
// from maps.
var unordered = []string{
	"Config.Env", "HostConfig.Binds", "HostConfig.ExtraHosts", "HostConfig.Links", "HostConfig.Mounts", "HostConfig.Ulimits",
	"Mounts", "NetworkSettings.Networks.*.Aliases", "NetworkSettings.Networks.*.Links",
}

// telling are the fields where nothing said and nothing wanted are two things. In
// all others null, "", 0, false and what is empty are one: which of them the
// engine answers depends on who asked it in JSON.
var telling = []string{
	"Config.Cmd", "Config.Entrypoint", "Config.StopTimeout", "HostConfig.Init", "HostConfig.MemorySwappiness",
	"HostConfig.OomKillDisable", "HostConfig.PidsLimit",
}

// standing are lists that are the engine's own or empty: which of the two it is is
// compared.
var standing = []string{"HostConfig.MaskedPaths", "HostConfig.ReadonlyPaths"}

// alike are values that mean the same to the engine as nothing said.
var alike = []struct{ field, value, reason string }{
	{"HostConfig.RestartPolicy.Name", "no", "the engine takes no name to be this one"},
}

// allowed are the differences that davit means, as the kind of thing and its field.
// There are five at most.
var allowed = []rule{
	{"service Config.MacAddress", "Compose v5 has no way to tell an engine before API 1.44 a MAC address; davit tells it"},
	{"service NetworkSettings.Networks.*.MacAddress", "the same: such an engine ignores it in this place, where Compose writes it"},
}

// fits reports whether a field is the one that pattern means.
func fits(pattern, field string) bool {
	p, f := strings.Split(pattern, "."), strings.Split(field, ".")
	if len(p) != len(f) {
		return false
	}
	for i := range p {
		if ok, err := path.Match(p[i], f[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func anyFits(patterns []string, field string) bool {
	for _, p := range patterns {
		if fits(p, field) {
			return true
		}
	}
	return false
}

func fieldsOf(rules []rule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.field)
	}
	return list
}

package compose

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
)

// hashVersion stands before every hash. A hash of another version says nothing
// about equality.
const hashVersion = "v1:"

// sum is the sum of value's canonical JSON: keys sorted, no spaces. With a key
// it can be checked only by who has the key, so that a hash cannot be used to
// try passwords out.
func sum(key []byte, value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		// Values come out of JSON and go back into it.
		panic("hash: " + err.Error())
	}
	var h hash.Hash
	if len(key) > 0 {
		h = hmac.New(sha256.New, key)
	} else {
		h = sha256.New()
	}
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// canonical is tree with every value in one spelling: 64m and 67108864, a short
// and a long mount are the same.
func canonical(name, dir string, tree map[string]any) (map[string]any, error) {
	rendered, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("hash stack %s: %w", name, err)
	}
	m, err := toModel(name, dir, rendered)
	if err != nil {
		return nil, err
	}
	typed, err := json.Marshal(map[string]any{"services": m.Services, "networks": m.Networks, "volumes": m.Volumes})
	if err != nil {
		return nil, fmt.Errorf("hash stack %s: %w", name, err)
	}
	plain, err := readTree(typed)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{"services", "networks", "volumes"} {
		for member := range below(tree, kind) {
			one := below(below(plain, kind), member)
			tidy(one)
			if block, ok := below(below(tree, kind), member)[extension]; ok {
				one[extension] = block
			}
			below(tree, kind)[member] = one
		}
	}
	return tree, nil
}

// tidy makes one of the spellings of "nothing said" in a service.
func tidy(service map[string]any) {
	for name, network := range below(service, "networks") {
		if network == nil {
			below(service, "networks")[name] = map[string]any{}
		}
	}
	mounts, _ := service["volumes"].([]any)
	for _, m := range mounts {
		if mount, ok := m.(map[string]any); ok {
			dropEmpty(mount)
		}
	}
	dropEmpty(below(service, "deploy"))
	dropEmpty(service)
}

func dropEmpty(tree map[string]any) {
	for k, v := range tree {
		if m, ok := v.(map[string]any); ok && len(m) == 0 {
			delete(tree, k)
		}
	}
}

// parts are the sums of everything that a stack declares, by its key.
func parts(key []byte, tree map[string]any) map[string]string {
	all := map[string]string{}
	for k, v := range tree {
		members, ok := v.(map[string]any)
		if ok && k == extension {
			if v = withoutTimes(members); v == nil {
				continue
			}
		}
		if !ok || k == extension {
			all[k] = sum(key, v)
			continue
		}
		for name, member := range members {
			all[k+"."+name] = sum(key, inOrder(k, member))
		}
	}
	return all
}

func projectHash(parts map[string]string) string { return hashVersion + sum(nil, parts) }

// unordered are the lists of a service whose order means nothing.
var unordered = [...]string{
	"cap_add", "cap_drop", "configs", "devices", "expose", "group_add", "ports", "secrets", "security_opt", "tmpfs", "volumes",
}

// inOrder is member with the lists whose order means nothing sorted.
func inOrder(kind string, member any) any {
	service, ok := member.(map[string]any)
	if kind != "services" || !ok {
		return member
	}
	sorted := maps.Clone(service)
	for _, key := range unordered {
		if list, ok := service[key].([]any); ok {
			sorted[key] = slices.SortedFunc(slices.Values(list), byJSON)
		}
	}
	return sorted
}

func byJSON(a, b any) int {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return strings.Compare(string(x), string(y))
}

// notOfContainer are the attributes of a service that no container is made of.
// Its image is compared by what it resolves to.
var notOfContainer = [...]string{
	"image", "build", fallbackKey, "depends_on", "scale", "profiles", "pull_policy", "pull_refresh_after", "attach", extension,
}

// ofDeploy are the attributes of deploy that containers are made of.
var ofDeploy = [...]string{"resources", "restart_policy"}

// serviceHash covers what a container of the service is made of.
func serviceHash(key []byte, tree map[string]any, name string) string {
	service, _ := inOrder("services", below(below(tree, "services"), name)).(map[string]any)
	for _, k := range notOfContainer {
		delete(service, k)
	}
	if deploy, ok := service["deploy"].(map[string]any); ok {
		kept := map[string]any{}
		for _, k := range ofDeploy {
			if v, ok := deploy[k]; ok {
				kept[k] = v
			}
		}
		replaceMap(service, "deploy", kept)
	}
	return hashVersion + sum(key, map[string]any{
		"service":  service,
		"networks": names(tree, "networks", keys(service["networks"])),
		"volumes":  names(tree, "volumes", sources(service["volumes"], "volume")),
		"configs":  values(tree, "configs", sources(service["configs"], "")),
		"secrets":  values(tree, "secrets", sources(service["secrets"], "")),
	})
}

// sources are the sources of a list of mounts, of one type unless it is "".
func sources(list any, kind string) []string {
	mounts, _ := list.([]any)
	var all []string
	for _, m := range mounts {
		mount, _ := m.(map[string]any)
		if source := text(mount["source"]); source != "" && (kind == "" || mount["type"] == kind) {
			all = append(all, source)
		}
	}
	return all
}

// names are the names that the engine knows the used networks or volumes by.
func names(tree map[string]any, kind string, used []string) map[string]any {
	all := map[string]any{}
	for _, u := range used {
		all[u] = below(below(tree, kind), u)["name"]
	}
	return all
}

// values are what the used configs or secrets hold.
func values(tree map[string]any, kind string, used []string) map[string]any {
	all := map[string]any{}
	for _, u := range used {
		object := maps.Clone(below(below(tree, kind), u))
		delete(object, "name")
		all[u] = object
	}
	return all
}

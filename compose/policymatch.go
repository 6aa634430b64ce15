package compose

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// matching is how the items of a rule's list stand for values.
type matching struct {
	// check refuses an item that could never match.
	check func(item string) error
	match func(item, value string) bool
	// item is what an operator would write to allow the value; the value itself
	// when nil.
	item func(value string) string
}

// words match as they are; a star at the end stands for any ending.
func words() matching {
	return matching{
		check: func(item string) error {
			if i := strings.IndexByte(item, '*'); i >= 0 && i < len(item)-1 {
				return errors.New("a star can only be the last character")
			}
			return nil
		},
		match: func(item, value string) bool {
			if start, ok := strings.CutSuffix(item, "*"); ok {
				return strings.HasPrefix(value, start)
			}
			return item == value
		},
	}
}

// exactly matches what is written the same, apart from spaces. A star means
// something else in these values.
func exactly() matching {
	plain := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	return matching{
		check: func(string) error { return nil },
		match: func(item, value string) bool { return plain(item) == plain(value) },
	}
}

// capabilities match with or without CAP_, in any case. ALL is only itself.
func capabilities() matching {
	m := words()
	m.match = func(item, value string) bool { return capability(item) == capability(value) }
	return m
}

func capability(name string) string {
	return strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
}

// readOnlySuffix marks a path that may be mounted, but not written to.
const readOnlySuffix = ":ro"

// paths match themselves and what is below them. A value ends with :ro when the
// mount is read-only; an item that does covers only such values.
func paths() matching {
	return matching{
		check: func(item string) error {
			if p := strings.TrimSuffix(item, readOnlySuffix); !path.IsAbs(p) || path.Clean(p) != p {
				return fmt.Errorf("%q is not an absolute, clean path", item)
			}
			return nil
		},
		match: func(item, value string) bool {
			source, readOnly := strings.CutSuffix(value, readOnlySuffix)
			outer, only := strings.CutSuffix(item, readOnlySuffix)
			return (readOnly || !only) && beneath(source, outer)
		},
	}
}

// beneath is within for absolute paths.
func beneath(inner, outer string) bool { return outer == "/" || within(inner, outer) }

// devicePaths match paths, or the name of a CDI device.
func devicePaths() matching {
	word := words()
	return matching{check: word.check, match: func(item, value string) bool {
		return word.match(item, value) || path.IsAbs(item) && beneath(value, item)
	}}
}

// ports match "PORT" or "FROM-TO", with "IP:" before it to allow no other
// address. A value has the same form.
func ports() matching {
	return matching{
		check: func(item string) error {
			if _, _, _, err := portSpan(item); err != nil {
				return fmt.Errorf("%q is not PORT, FROM-TO, IP:PORT or IP:FROM-TO", item)
			}
			return nil
		},
		match: func(item, value string) bool {
			ip, from, to, err := portSpan(item)
			wantIP, low, high, wrong := portSpan(value)
			return err == nil && wrong == nil && (ip == "" || ip == wantIP) && from <= low && high <= to
		},
	}
}

func portSpan(text string) (ip string, from, to int, err error) {
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		ip, text = strings.Trim(text[:i], "[]"), text[i+1:]
	}
	low, high, isRange := strings.Cut(text, "-")
	if from, err = strconv.Atoi(low); err != nil {
		return "", 0, 0, err
	}
	if to = from; isRange {
		if to, err = strconv.Atoi(high); err != nil {
			return "", 0, 0, err
		}
	}
	if from < 0 || to > 65535 || from > to {
		return "", 0, 0, errors.New("not a range of ports")
	}
	return ip, from, to, nil
}

// images match by whole elements of the name: ghcr.io/acme/ covers
// ghcr.io/acme/web:1 and not ghcr.io/acmeville/web. An item that ends with a
// slash is a registry or a namespace in one; any other is one image. Where no
// registry is named it is Docker Hub.
func images() matching {
	return matching{
		check: func(item string) error {
			if item == "" || strings.ContainsAny(item, " *@") || strings.LastIndexByte(item, ':') > strings.LastIndexByte(item, '/') {
				return fmt.Errorf("%q is neither an image without a tag nor a registry or namespace with a slash at its end", item)
			}
			return nil
		},
		match: func(item, value string) bool {
			if strings.HasSuffix(item, "/") {
				return strings.HasPrefix(imageName(value), registered(item))
			}
			return imageName(value) == imageName(item)
		},
		item: imageName,
	}
}

// imageName is a reference in full, without tag and digest.
func imageName(ref string) string {
	name, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	name = registered(name)
	if rest, hub := strings.CutPrefix(name, dockerHub); hub && !strings.Contains(rest, "/") {
		return dockerHub + "library/" + rest
	}
	return name
}

const dockerHub = "docker.io/"

// registered is a name that begins with its registry. As Docker reads it, the
// first element is one if it cannot be anything else.
func registered(name string) string {
	name = strings.TrimPrefix(name, "index."+dockerHub)
	host, _, deep := strings.Cut(name, "/")
	if deep && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return name
	}
	return dockerHub + name
}

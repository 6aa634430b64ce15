package reconcile

import (
	"regexp"
	"testing"
)

func TestKeepTagsAreReferencesThatDockerTakes(t *testing.T) {
	reference := regexp.MustCompile(`^davit\.local/keep(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+:r7$`)
	seen := map[string]bool{}
	for _, name := range []string{"web", "Web", "WEB", "web_", "_web", "a___b", "a.-b", "web.1", "a--b", "a__b"} {
		tag := keepTag(name, name, 7)
		if !reference.MatchString(tag) {
			t.Errorf("%s is no reference", tag)
		}
		if seen[tag] {
			t.Errorf("%s stands for two services", tag)
		}
		seen[tag] = true
	}
	if tag := keepTag("shop", "web", 7); tag != "davit.local/keep/shop/web:r7" {
		t.Errorf("a plain name became %s", tag)
	}
}

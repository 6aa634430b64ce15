package engine

import "testing"

// The expectations are those of containerd's parser, which the docker command uses.
func TestPlatformsAreReadAsDockerReadsThem(t *testing.T) {
	for s, want := range map[string]string{
		"linux/amd64": "linux/amd64/", "linux/x86_64": "linux/amd64/", "amd64": "linux/amd64/", "linux/amd64/v1": "linux/amd64/",
		"linux/amd64/v3": "linux/amd64/v3", "linux/arm64": "linux/arm64/", "linux/arm64/v8": "linux/arm64/v8", "aarch64": "linux/arm64/",
		"linux/arm": "linux/arm/", "linux/arm/v6": "linux/arm/v6", "linux/arm/7": "linux/arm/v7", "armhf": "linux/arm/", "armel": "linux/arm/v6",
		"linux/i386": "linux/386/", "Linux/AMD64": "linux/amd64/", "windows/amd64": "windows/amd64/", "linux/riscv64": "linux/riscv64/",
	} {
		p, err := platform(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got := p.OS + "/" + p.Architecture + "/" + p.Variant; got != want {
			t.Errorf("%s is read as %s, want %s", s, got, want)
		}
	}
	for _, s := range []string{"/amd64", "linux/arm/v7/x"} {
		if _, err := platform(s); err == nil {
			t.Errorf("%q passes for a platform", s)
		}
	}
	if p, err := platform(""); p != nil || err != nil {
		t.Errorf("none is %v, %v", p, err)
	}
}

package compose

import "testing"

func TestTextIsMadeOfYAMLValuesAsComposeMakesIt(t *testing.T) {
	p := load(t, one(`
services:
  web:
    image: nginx
    cpus: 1.0
    labels:
      date: 2024-01-01
      moment: 2024-01-01T10:11:12Z
      million: 1e6
      whole: 3.0
      part: 1.10
      huge: 18446744073709551615
      octal: 0o17
`))
	want := map[string]string{
		"date": "2024-01-01 00:00:00 +0000 UTC", "moment": "2024-01-01 10:11:12 +0000 UTC", "million": "1e+06",
		"whole": "3", "part": "1.1", "huge": "18446744073709551615", "octal": "15",
	}
	s, _ := p.Service("web")
	for label, text := range want {
		if got := s.Config.Labels[label]; got != text {
			t.Errorf("label %s is %q, want %q", label, got, text)
		}
	}
	if s.Config.CPUS != 1 {
		t.Errorf("cpus is %v, want 1", s.Config.CPUS)
	}
}

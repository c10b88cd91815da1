package version

import "testing"

func TestNearest(t *testing.T) {
	all := table("1.28.3", "1.30.0", "1.29.1")
	for version, want := range map[string]string{
		"1.27.0": "1.28.3", "1.28.3": "1.28.3", "1.28.4": "1.29.1", "1.29.5": "1.30.0", "1.30.0": "1.30.0", "1.31.0": "1.30.0", "latest": "1.28.3",
	} {
		if got := all.Nearest(version); got != want {
			t.Errorf("nearest to %s is %q, want %s", version, got, want)
		}
	}
	if got := Table(nil).Nearest("1.28.3"); got != "" {
		t.Errorf("nearest of none is %q", got)
	}
}

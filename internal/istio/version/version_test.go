package version

import (
	"slices"
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestEveryReleaseIsComplete(t *testing.T) {
	if len(Packaged()) == 0 {
		t.Fatal("no release can be installed")
	}
	for _, r := range Packaged() {
		if v, err := semver.StrictNewVersion(r.Version); err != nil || v.Prerelease() != "" {
			t.Errorf("%q is no exact release: %v", r.Version, err)
		}
		if _, err := semver.NewVersion(r.MinKubernetes); err != nil {
			t.Errorf("%s: minimum of Kubernetes %q: %v", r.Version, r.MinKubernetes, err)
		}
	}
	if !slices.IsSortedFunc(Supported(), Compare) {
		t.Errorf("releases are not ordered: %v", Supported())
	}
}

func TestLookup(t *testing.T) {
	for _, v := range Supported() {
		if r, ok := Packaged().Lookup(v); !ok || r.Version != v {
			t.Errorf("%s is not found: %+v", v, r)
		}
	}
	for _, v := range []string{"", "1.29", "v1.29.1", "1.29.1-alpha", "0.1.0"} {
		if r, ok := Of(v); ok {
			t.Errorf("%q is found: %+v", v, r)
		}
	}
}

func TestCompare(t *testing.T) {
	cases := map[string]struct {
		a, b string
		want int
	}{
		"the same":                    {"1.29.1", "1.29.1", 0},
		"an older patch":              {"1.29.1", "1.29.2", -1},
		"by number, not by text":      {"1.9.0", "1.29.0", -1},
		"a prefix does not matter":    {"v1.29.1", "1.29.1", 0},
		"a release after its betas":   {"1.29.0", "1.29.0-beta.1", 1},
		"what is no version is older": {"latest", "1.0.0", -1},
		"nothing is older":            {"", "1.0.0", -1},
		"neither is a version":        {"latest", "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Compare(c.a, c.b); got != c.want {
				t.Errorf("Compare(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
			}
			if got := Compare(c.b, c.a); got != -c.want {
				t.Errorf("Compare(%q, %q) is %d, want %d", c.b, c.a, got, -c.want)
			}
		})
	}
}

func TestCheckKubernetes(t *testing.T) {
	r := Release{Version: "1.29.1", MinKubernetes: "1.30"}
	cases := map[string]struct {
		version string
		wantErr bool
	}{
		"the oldest that is accepted":   {version: "v1.30.0"},
		"newer":                         {version: "v1.36.3"},
		"a vendor's suffix":             {version: "v1.30.4-gke.1348000"},
		"a pre-release of the minimum":  {version: "v1.30.0-eks-036c24b"},
		"build metadata":                {version: "v1.31.2+k3s1"},
		"older":                         {version: "v1.29.15", wantErr: true},
		"older by number, not by text":  {version: "v1.9.0", wantErr: true},
		"what is no version is refused": {version: "unknown", wantErr: true},
		"nothing is refused":            {version: "", wantErr: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := r.CheckKubernetes(c.version); (err != nil) != c.wantErr {
				t.Errorf("error is %v, want one: %v", err, c.wantErr)
			}
		})
	}
	if err := (Release{Version: "1.29.1", MinKubernetes: "new"}).CheckKubernetes("v1.30.0"); err == nil {
		t.Error("a table with a bad minimum accepts everything")
	}
}

func TestCheckGatewayAPI(t *testing.T) {
	const policies = "backendtlspolicies.gateway.networking.k8s.io"
	r := Release{Version: "1.29.1", GatewayAPI: map[string]string{policies: "1.4.0"}}
	cases := map[string]struct {
		name, bundle string
		wantErr      bool
	}{
		"the oldest that is read":       {policies, "v1.4.0", false},
		"newer":                         {policies, "v1.10.2", false},
		"a pre-release of the minimum":  {policies, "v1.4.0-rc.1", false},
		"older":                         {policies, "v1.3.9", true},
		"no version is refused":         {policies, "", true},
		"what is no version is refused": {policies, "main", true},
		"a kind without a minimum":      {"httproutes.gateway.networking.k8s.io", "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := r.CheckGatewayAPI(c.name, c.bundle); (err != nil) != c.wantErr {
				t.Errorf("error is %v, want one: %v", err, c.wantErr)
			}
		})
	}
	for _, known := range Packaged() {
		for name, least := range known.GatewayAPI {
			if err := known.CheckGatewayAPI(name, "v"+least); err != nil {
				t.Errorf("%s refuses its own minimum of %s: %v", known.Version, name, err)
			}
			if err := known.CheckGatewayAPI(name, "v0.8.0"); err == nil {
				t.Errorf("%s accepts any bundle of %s", known.Version, name)
			}
		}
	}
}

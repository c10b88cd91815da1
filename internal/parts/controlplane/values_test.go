package controlplane

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

type values = map[string]any

// ownedIstiod is what a user might try to set of the operator's istiod values.
var ownedIstiod = values{
	"revision": "mine", "autoscaleMin": 2,
	"env":    values{"ISTIO_MULTIROOT_MESH": "false", "MINE": "kept"},
	"global": values{"meshID": "mine", "network": "mine", "istioNamespace": "mine", "multiCluster": values{"clusterName": "mine"}, "hub": "registry.example/istio"},
	"meshConfig": values{"trustDomain": "mine", "accessLogFile": "/dev/stdout", "defaultConfig": values{
		"proxyMetadata": values{"PROXY_CONFIG_XDS_AGENT": "false", "MINE": "kept"},
	}},
}

func TestIstiodValues(t *testing.T) {
	cases := map[string]any{
		"the operator's values alone, with several roots possible": nil,
		"the operator's values win over the user's":                ownedIstiod,
	}
	for name, user := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			if user != nil {
				m.Spec.Revisions[0].Values = testutil.JSON(user)
			}
			got, err := IstiodValues(&m.Spec, &m.Spec.Revisions[0])
			if err != nil {
				t.Fatal(err)
			}
			testutil.Golden(t, testutil.YAML(t, got))
		})
	}
}

// A wrong SAN in one of two istiods broke a whole flow for as long as the pods behind it lived.
func TestOwnTrustDomainIsAnAliasWherePeersAreMisread(t *testing.T) {
	cases := map[string]struct {
		version string
		user    any
		want    any
	}{
		"a release that reads its peers well":   {"1.28.3", nil, nil},
		"one that does not":                     {"1.29.1", nil, []any{"cluster.local"}},
		"the user's aliases stay":               {"1.29.1", []any{"old.example"}, []any{"old.example", "cluster.local"}},
		"an alias that is there is not doubled": {"1.29.1", []any{"cluster.local"}, []any{"cluster.local"}},
		"the user's aliases alone":              {"1.28.3", []any{"old.example"}, []any{"old.example"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			r := meshv1alpha1.Revision{Name: "r", Version: c.version}
			if c.user != nil {
				r.Values = testutil.JSON(values{"meshConfig": values{"trustDomainAliases": c.user}})
			}
			got, err := IstiodValues(&m.Spec, &r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got["meshConfig"].(values)["trustDomainAliases"]); diff != "" {
				t.Errorf("aliases (-want +got):\n%s", diff)
			}
		})
	}
	m := testutil.Member("east")
	r := meshv1alpha1.Revision{Name: "r", Version: "1.29.1", Values: testutil.JSON(values{"meshConfig": values{"trustDomainAliases": "one"}})}
	if _, err := IstiodValues(&m.Spec, &r); err == nil {
		t.Error("aliases that are no list are accepted")
	}
}

func TestBaseValuesPointTheValidatorAtTheDefaultRevision(t *testing.T) {
	want := values{"defaultRevision": testutil.Revision, "global": values{"istioNamespace": testutil.ControlPlane}}
	if diff := cmp.Diff(want, BaseValues(testutil.ControlPlane, testutil.Revision)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestIstiodValuesRefuseWhatIsNoMap(t *testing.T) {
	m := testutil.Member("east")
	m.Spec.Revisions[0].Values = testutil.JSON("text")
	if got, err := IstiodValues(&m.Spec, &m.Spec.Revisions[0]); err == nil {
		t.Errorf("values are %v, want an error", got)
	}
}

func TestInjectsByDefault(t *testing.T) {
	for values, want := range map[string]bool{
		``: false, `{}`: false, `{"sidecarInjectorWebhook":null}`: false,
		`{"sidecarInjectorWebhook":{"enableNamespacesByDefault":false}}`:  false,
		`{"sidecarInjectorWebhook":{"enableNamespacesByDefault":true}}`:   true,
		`{"sidecarInjectorWebhook":{"enableNamespacesByDefault":"true"}}`: true,
	} {
		got, err := InjectsByDefault(&meshv1alpha1.Revision{Values: &apiextensionsv1.JSON{Raw: []byte(values)}})
		if err != nil || got != want {
			t.Errorf("%s: %t, %v, want %t", values, got, err, want)
		}
	}
	if _, err := InjectsByDefault(&meshv1alpha1.Revision{Values: &apiextensionsv1.JSON{Raw: []byte(`[]`)}}); err == nil {
		t.Error("values that are no map are taken")
	}
}

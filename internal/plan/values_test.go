package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestValues(t *testing.T) {
	cases := map[string]struct {
		raw     string
		want    values
		wantErr bool
	}{
		"nothing is an empty map":   {raw: "", want: values{}},
		"null is an empty map":      {raw: "null", want: values{}},
		"a map is itself":           {raw: `{"a": {"b": "c"}}`, want: values{"a": values{"b": "c"}}},
		"a list is refused":         {raw: `["a"]`, wantErr: true},
		"a text is refused":         {raw: `"a"`, wantErr: true},
		"broken JSON is refused":    {raw: `{"a"`, wantErr: true},
		"two documents are refused": {raw: `{} {}`, wantErr: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			field := testutil.JSON(nil)
			field.Raw = []byte(c.raw)
			got, err := Values(field)
			if (err != nil) != c.wantErr {
				t.Fatalf("error is %v, want one: %v", err, c.wantErr)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && !c.wantErr {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
	if got, err := Values(nil); err != nil || got == nil {
		t.Errorf("Values(nil) is %v, %v, want an empty map", got, err)
	}
}

func TestMerge(t *testing.T) {
	cases := map[string]struct{ base, over, want values }{
		"the upper wins":                       {values{"a": 1, "b": 2}, values{"b": 3}, values{"a": 1, "b": 3}},
		"maps are merged at every depth":       {values{"a": values{"b": values{"c": 1}}}, values{"a": values{"b": values{"d": 2}}}, values{"a": values{"b": values{"c": 1, "d": 2}}}},
		"lists are replaced, not joined":       {values{"a": []any{1, 2}}, values{"a": []any{3}}, values{"a": []any{3}}},
		"a map replaces what is no map":        {values{"a": 1}, values{"a": values{"b": 2}}, values{"a": values{"b": 2}}},
		"what is no map replaces a map":        {values{"a": values{"b": 2}}, values{"a": nil}, values{"a": nil}},
		"nothing over nothing is an empty map": {nil, nil, values{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Merge(c.base, c.over)); diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
		})
	}
}

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
			testutil.Golden(t, text(t, got))
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

func TestGatewayValues(t *testing.T) {
	cases := map[string]meshv1alpha1.EastWestGateway{
		"nothing set": {},
		"everything set": {
			Replicas: meshv1alpha1.ReplicaRange{Min: 2, Max: 7},
			Service:  meshv1alpha1.GatewayService{Annotations: map[string]string{"cloud.example/internal": "true"}},
			Values:   testutil.JSON(values{"nodeSelector": values{"pool": "edge"}, "readinessProbe": values{"periodSeconds": 10}}),
		},
		"the operator's values win over the user's": {
			Values: testutil.JSON(values{
				"name": "mine", "revision": "mine", "networkGateway": "mine",
				"autoscaling": values{"enabled": false, "minReplicas": 9, "targetCPUUtilizationPercentage": 50},
				"service":     values{"type": "NodePort", "annotations": values{"mine": "kept"}},
			}),
		},
		"a probe of another kind replaces ours": {
			Values: testutil.JSON(values{"readinessProbe": values{"tcpSocket": values{"port": 15443}}}),
		},
		"replaced in place": {Replacement: meshv1alpha1.GatewayReplacementInPlace},
		"replaced in place, drained as the user says": {
			Replacement: meshv1alpha1.GatewayReplacementInPlace,
			Values:      testutil.JSON(values{"terminationGracePeriodSeconds": 900, "env": values{"MINIMUM_DRAIN_DURATION": "60s"}}),
		},
		"a single pod on demand": {Replicas: meshv1alpha1.ReplicaRange{Min: 1, Max: 1}},
		"a disruption budget of the user's replaces ours": {
			Values: testutil.JSON(values{"podDisruptionBudget": values{"minAvailable": "50%"}}),
		},
		"more replicas at least than at most": {Replicas: meshv1alpha1.ReplicaRange{Min: 8, Max: 5}},
	}
	for name, g := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Spec.Gateway = g
			got, err := GatewayValues(&m.Spec, testutil.Revision)
			if err != nil {
				t.Fatal(err)
			}
			testutil.Golden(t, text(t, got))
		})
	}
}

func TestBaseValuesPointTheValidatorAtTheDefaultRevision(t *testing.T) {
	want := values{"defaultRevision": testutil.Revision, "global": values{"istioNamespace": testutil.ControlPlane}}
	if diff := cmp.Diff(want, BaseValues(&testutil.Member("east").Spec)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestChartValuesRefuseWhatIsNoMap(t *testing.T) {
	m := testutil.Member("east")
	m.Spec.Revisions[0].Values, m.Spec.Gateway.Values = testutil.JSON("text"), testutil.JSON(7)
	if got, err := IstiodValues(&m.Spec, &m.Spec.Revisions[0]); err == nil {
		t.Errorf("istiod's values are %v, want an error", got)
	}
	if got, err := GatewayValues(&m.Spec, testutil.Revision); err == nil {
		t.Errorf("the gateway's values are %v, want an error", got)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

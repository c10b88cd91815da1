package eastwest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

type values = map[string]any

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
		"null takes a default away": {
			Replacement: meshv1alpha1.GatewayReplacementInPlace,
			Values: testutil.JSON(values{
				"strategy": nil, "env": values{"MINIMUM_DRAIN_DURATION": nil, "MINE": "kept"},
				"readinessProbe": values{"httpGet": nil, "periodSeconds": nil, "exec": values{"command": []any{"true"}}},
			}),
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
			m.Spec.GatewayReplicas = meshv1alpha1.GatewayReplicas{Min: g.Replicas.Min, Max: g.Replicas.Max}
			m.Spec.Revisions[0].Gateway = meshv1alpha1.RevisionGateway{Replacement: g.Replacement, Annotations: g.Service.Annotations, Values: g.Values}
			got, err := GatewayValues(&m.Spec, testutil.Revision)
			if err != nil {
				t.Fatal(err)
			}
			testutil.Golden(t, testutil.YAML(t, got))
		})
	}
}

func TestGatewayValuesRefuseWhatIsNoMap(t *testing.T) {
	m := testutil.Member("east")
	m.Spec.Revisions[0].Gateway.Values = testutil.JSON(7)
	if got, err := GatewayValues(&m.Spec, testutil.Revision); err == nil {
		t.Errorf("values are %v, want an error", got)
	}
}

// TestGatewayGetsThePlatform passes the platform of the control plane's values on, unless the gateway's own name another.
func TestGatewayGetsThePlatform(t *testing.T) {
	openshift := values{"global": values{"platform": "openshift"}}
	cases := map[string]struct {
		istiod, gateway any
		want            any
	}{
		"no platform":                   {istiod: values{"global": values{"proxy": values{}}}},
		"global.platform":               {istiod: openshift, want: values{"platform": "openshift"}},
		"platform":                      {istiod: values{"platform": "k3s"}, want: values{"platform": "k3s"}},
		"both, as the chart takes them": {istiod: values{"platform": "k3s", "global": values{"platform": "openshift"}}, want: values{"platform": "k3s"}},
		"another one for the gateway":   {istiod: openshift, gateway: values{"global": values{"platform": "gke"}}, want: values{"platform": "gke"}},
		"none for the gateway":          {istiod: openshift, gateway: values{"global": values{"platform": ""}}, want: values{"platform": ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Spec.Revisions[0].Values = testutil.JSON(c.istiod)
			if c.gateway != nil {
				m.Spec.Revisions[0].Gateway.Values = testutil.JSON(c.gateway)
			}
			got, err := GatewayValues(&m.Spec, testutil.Revision)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got["global"]); diff != "" {
				t.Errorf("global (-want +got):\n%s", diff)
			}
		})
	}
}

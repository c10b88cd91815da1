package istio

import (
	"testing"

	"sigs.k8s.io/yaml"
)

func TestDiscoverySelectors(t *testing.T) {
	known := map[string]string{"kubernetes.io/metadata.name": "istio-system", "topology.istio.io/network": "net-east"}
	cases := map[string]struct {
		values            string
		leaveOut, mustNot bool
	}{
		"none":                                {`{}`, false, false},
		"an empty list":                       {`{meshConfig: {discoverySelectors: []}}`, false, false},
		"a selector of all":                   {`{meshConfig: {discoverySelectors: [{}]}}`, false, false},
		"a label of their own":                {`{meshConfig: {discoverySelectors: [{matchLabels: {mesh: "on"}}]}}`, true, false},
		"the namespace by its name":           {`{meshConfig: {discoverySelectors: [{matchLabels: {mesh: "on"}}, {matchLabels: {kubernetes.io/metadata.name: istio-system}}]}}`, false, false},
		"another namespace by its name":       {`{meshConfig: {discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: demo}}]}}`, true, true},
		"all but the namespace":               {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [istio-system, kube-system]}]}]}}`, true, true},
		"all but another":                     {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}]}]}}`, false, false},
		"the network":                         {`{meshConfig: {discoverySelectors: [{matchLabels: {topology.istio.io/network: net-east}}]}}`, false, false},
		"namespaces without a network":        {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: topology.istio.io/network, operator: DoesNotExist}]}]}}`, true, true},
		"one of two may select it":            {`{meshConfig: {discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: demo}}, {matchLabels: {mesh: "on"}}]}}`, true, false},
		"a name and a label of their own":     {`{meshConfig: {discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: demo, mesh: "on"}}]}}`, true, true},
		"an operator that Kubernetes has not": {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: a, operator: Near}]}]}}`, false, false},
		"below pilot":                         {`{pilot: {meshConfig: {discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: demo}}]}}}`, true, true},
		"null":                                {`{meshConfig: {discoverySelectors: null}}`, false, false},
		"meshConfig as a text":                {`{meshConfig: "discoverySelectors: []"}`, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{}
			if err := yaml.Unmarshal([]byte(c.values), &values); err != nil {
				t.Fatal(err)
			}
			selectors, err := ReadDiscoverySelectors(values)
			if err != nil {
				t.Fatal(err)
			}
			if got := selectors.LeaveOut(known); got != c.leaveOut {
				t.Errorf("a namespace with no other labels is left out: %v, want %v", got, c.leaveOut)
			}
			if got := selectors.MustLeaveOut(known); got != c.mustNot {
				t.Errorf("the namespace is left out whatever its other labels: %v, want %v", got, c.mustNot)
			}
		})
	}
	if s, err := ReadDiscoverySelectors(map[string]any{"meshConfig": map[string]any{"discoverySelectors": "text"}}); err == nil {
		t.Errorf("a text is read as %v", s)
	}
}

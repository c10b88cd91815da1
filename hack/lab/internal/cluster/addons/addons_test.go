package addons

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func TestRenderedManifestsAreCompleteObjects(t *testing.T) {
	tests := map[string]struct {
		text      string
		values    map[string]any
		wantKinds string
		wantText  []string
	}{
		"CoreDNS": {
			text:      corednsYAML,
			values:    map[string]any{"Image": "lab.local/coredns:1", "DNS": "10.101.0.10"},
			wantKinds: "ServiceAccount ClusterRole ClusterRoleBinding ConfigMap Service Deployment",
			wantText:  []string{"clusterIP: 10.101.0.10", "image: lab.local/coredns:1"},
		},
		"cert-manager": {
			text:      certManagerYAML,
			values:    map[string]any{"Image": "lab.local/cert-manager:1"},
			wantKinds: "Namespace ServiceAccount ClusterRoleBinding Deployment",
			wantText:  []string{"image: lab.local/cert-manager:1"},
		},
		"Prometheus": {
			text:      prometheusYAML,
			values:    map[string]any{"Image": "lab.local/prometheus:1", "Cluster": "east"},
			wantKinds: "Namespace ServiceAccount ClusterRole ClusterRoleBinding ConfigMap Service Deployment",
			wantText:  []string{"image: lab.local/prometheus:1", "replacement: east"},
		},
		"OLM": {
			text:      olmYAML,
			values:    map[string]any{"Image": "lab.local/olm:1", "OPMImage": "lab.local/opm:1"},
			wantKinds: "Namespace ServiceAccount ClusterRoleBinding Deployment Deployment",
			wantText:  []string{"image: lab.local/olm:1", "--util-image=lab.local/olm:1", "--opmImage=lab.local/opm:1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rendered, err := render(tt.text, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(rendered), 4096); ; {
				var object struct {
					Kind     string
					Metadata struct{ Name string }
				}
				err := decoder.Decode(&object)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if object.Metadata.Name == "" {
					t.Errorf("a %s has no name", object.Kind)
				}
				kinds = append(kinds, object.Kind)
			}
			if got := strings.Join(kinds, " "); got != tt.wantKinds {
				t.Errorf("kinds = %s, want %s", got, tt.wantKinds)
			}
			for _, want := range tt.wantText {
				if !strings.Contains(string(rendered), want) {
					t.Errorf("manifests do not contain %q", want)
				}
			}
		})
	}
}

func TestRenderFailsOnAMissingValue(t *testing.T) {
	if _, err := render(corednsYAML, map[string]any{"Image": "x"}); err == nil {
		t.Error("render without the DNS address succeeded")
	}
}

func TestIsRolledOut(t *testing.T) {
	deployment := func(change func(*appsv1.Deployment)) *appsv1.Deployment {
		d := &appsv1.Deployment{}
		d.Generation = 2
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1,
		}
		change(d)
		return d
	}
	tests := map[string]struct {
		change func(*appsv1.Deployment)
		want   bool
	}{
		"everything is there":              {change: func(*appsv1.Deployment) {}, want: true},
		"status is of an older generation": {change: func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 1 }},
		"old pod still counts":             {change: func(d *appsv1.Deployment) { d.Status.Replicas = 2 }},
		"new pod is not available":         {change: func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 0 }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := isRolledOut(deployment(tt.change)); got != tt.want {
				t.Errorf("isRolledOut = %t, want %t", got, tt.want)
			}
		})
	}
}

package charts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestPrepare(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"a namespaced object gets the release's namespace": {
			`{kind: ConfigMap, metadata: {name: a}}`, `{kind: ConfigMap, metadata: {name: a, namespace: istio-system}}`},
		"an object that names one keeps it": {
			`{kind: ConfigMap, metadata: {name: a, namespace: other}}`, `{kind: ConfigMap, metadata: {name: a, namespace: other}}`},
		"an object of the cluster gets none": {
			`{kind: CustomResourceDefinition, metadata: {name: a}}`, `{kind: CustomResourceDefinition, metadata: {name: a}}`},
		"the network label goes off a gateway's Service": {
			`{kind: Service, metadata: {name: a, namespace: ns, labels: {app: a, topology.istio.io/network: net}}}`,
			`{kind: Service, metadata: {name: a, namespace: ns, labels: {app: a}}}`},
		"it stays on a Deployment's pods": {
			`{kind: Deployment, metadata: {name: a, namespace: ns, labels: {topology.istio.io/network: net}}}`,
			`{kind: Deployment, metadata: {name: a, namespace: ns, labels: {topology.istio.io/network: net}}}`},
		"null is left out": {
			`{kind: Deployment, metadata: {name: a, namespace: ns}, spec: {containers: [{resources: {limits: {cpu: null, memory: 1Gi}}, env: null}]}}`,
			`{kind: Deployment, metadata: {name: a, namespace: ns}, spec: {containers: [{resources: {limits: {memory: 1Gi}}}]}}`},
		"null in a schema stays": {
			`{kind: CustomResourceDefinition, metadata: {name: a}, spec: {default: null}}`, `{kind: CustomResourceDefinition, metadata: {name: a}, spec: {default: null}}`},
		"istiod decides the failure policy": {
			`{kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: w, failurePolicy: Fail}, {name: v}]}`,
			`{kind: ValidatingWebhookConfiguration, metadata: {name: a, annotations: {admissions.enforcer/disabled: "true"}}, webhooks: [{name: w}, {name: v}]}`},
		"the failure policy of an injector is the chart's": {
			`{kind: MutatingWebhookConfiguration, metadata: {name: a, annotations: {b: c}}, webhooks: [{name: w, failurePolicy: Fail}]}`,
			`{kind: MutatingWebhookConfiguration, metadata: {name: a, annotations: {b: c, admissions.enforcer/disabled: "true"}}, webhooks: [{name: w, failurePolicy: Fail}]}`},
		"wildcards become what they stand for": {
			`{kind: ClusterRole, metadata: {name: a}, rules: [{apiGroups: [telemetry.istio.io, rbac.istio.io], resources: ["*"], verbs: [get]}]}`,
			`{kind: ClusterRole, metadata: {name: a}, rules: [{apiGroups: [telemetry.istio.io], resources: [telemetries], verbs: [get]}]}`},
		"a wildcard on what no longer exists leaves nothing": {
			`{kind: Role, metadata: {name: a, namespace: ns}, rules: [{apiGroups: [rbac.istio.io], resources: ["*"], verbs: [get]}]}`,
			`{kind: Role, metadata: {name: a, namespace: ns}, rules: []}`},
		"a role without rules of its own stays so": {
			`{kind: ClusterRole, metadata: {name: a}, aggregationRule: {}}`, `{kind: ClusterRole, metadata: {name: a}, aggregationRule: {}}`},
		"a wildcard verb too": {
			`{kind: Role, metadata: {name: a, namespace: ns}, rules: [{apiGroups: [""], resources: [secrets], verbs: ["*"]}]}`,
			`{kind: Role, metadata: {name: a, namespace: ns}, rules: [{apiGroups: [""], resources: [secrets], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := object(t, c.in)
			if err := prepare(got, "istio-system"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(object(t, c.want).Object, got.Object); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestPrepareRefuses(t *testing.T) {
	cases := map[string]string{
		"a webhook that is a text":               `{kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [text]}`,
		"a wildcard on a group it does not know": `{kind: Role, metadata: {name: a}, rules: [{apiGroups: [new.istio.io], resources: ["*"], verbs: [get]}]}`,
		"rules that are none":                    `{kind: Role, metadata: {name: a}, rules: text}`,
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if err := prepare(object(t, text), "istio-system"); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}

func TestParse(t *testing.T) {
	objects, err := parse(map[string]string{
		"istiod/templates/b.yaml":       "kind: B\nmetadata: {name: b}\n---\n# nothing\n---\nkind: C\nmetadata: {name: c}\n",
		"istiod/templates/a.yaml":       "kind: A\nmetadata: {name: a}\n",
		"istiod/templates/NOTES.txt":    "thank you",
		"istiod/templates/_helpers.tpl": "{{ define }}",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.GetKind())
	}
	if diff := cmp.Diff([]string{"A", "B", "C"}, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{"no YAML": "a: b: c", "no kind": "metadata: {name: a}", "no name": "kind: A"} {
		if _, err := parse(map[string]string{"x/templates/x.yaml": text}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSplitDocumentsKeepsTheOrder(t *testing.T) {
	var text string
	want := make([]string, 0, 12)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		text += "---\nname: " + name + "\n"
		want = append(want, "name: "+name)
	}
	if diff := cmp.Diff(want, splitDocuments(text)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	values := map[string]any{"a": map[string]any{"b": nil}, "c": "text"}
	cases := map[string]bool{"a": true, "a.b": true, "a.b.c": false, "c": true, "c.d": false, "x": false, "x.y": false}
	for path, want := range cases {
		if _, got := lookup(values, path); got != want {
			t.Errorf("lookup(%q) is %v, want %v", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"autoscaleMax", "autoscaleMin", "env", "_internal_defaults_do_not_set"}
	cases := map[string]string{
		"autoscaleMinn": "autoscaleMin", "AUTOSCALEMAX": "autoscaleMax", "enf": "env", "something": "", "_internal_defaults_do_not_se": "",
	}
	for typo, want := range cases {
		if got := nearest(typo, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", typo, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	cases := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"abc", "acb", 2}}
	for _, c := range cases {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.a, c.b, got, c.want)
		}
		if got := editDistance(c.b, c.a); got != c.want {
			t.Errorf("distance of %q and %q is %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

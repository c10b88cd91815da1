package envtest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// small is a MeshInstallation that sets what is required, and the choices given.
const small = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshInstallation
metadata: {name: small, namespace: meshfleet-system}
spec:
  version: %s
  members: [{name: free, clusterRef: {kubeconfigSecret: {name: free-kubeconfig}}}]
  %s
`

// smallOrder is a MeshMember that sets what is required, and what is given.
const smallOrder = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshMember
metadata: {name: small-free, namespace: meshfleet-system}
spec:
  installation: small
  cluster: free
  network: free
  meshID: small
  trustDomain: cluster.local
  controlPlaneNamespace: istio-system
  clusterRef: {kubeconfigSecret: {name: free-kubeconfig}}
  caSecret: small-free-ca
  revisions: [{name: 1-29-1, version: 1.29.1}]
  defaultRevision: 1-29-1
  gatewayRevision: 1-29-1
  readerVersion: 1.29.1
  deletionPolicy: WaitForMembers
  %s
`

const everyGate = `gates: [{name: measured, prometheus: {url: "https://a.example", query: up, min: "1"}},
    {name: asked, webhook: {url: "https://a.example"}}, {name: ConfigDiff, configDiff: {}}]`

// inWords are the fields whose absence is the documented default: the operator knows what it means.
var inWords = []string{
	"spec.meshID", "spec.members[].network", "spec.members[].apiServer", "spec.members[].apiServerCA", "spec.dataPlane.restart.firstNamespaces",
	"spec.restart.firstNamespaces", "spec.trust.root.selfSigned.size", "spec.upgrade.waves", "spec.upgrade.ignoreChecks",
	"spec.upgrade.waves[].memberSelector", "spec.upgrade.waves[].orderBy", "spec.upgrade.waves[].window",
	"spec.upgrade.waves[].window.timeZone", "spec.upgrade.gates[].configDiff.failOn", "spec.upgrade.gates[].configDiff.sample",
	"spec.rollout.gates[].configDiff.failOn", "spec.rollout.gates[].configDiff.sample",
	"spec.members[].hubSecrets", "spec.hubSecrets",
	"spec.charts", "spec.charts.caBundle", "spec.charts.proxy", "spec.charts.pullSecretRef", "spec.charts.verify", "spec.charts.verify.cosignPublicKey",
	"spec.charts.verify.digests", "spec.charts.versionSuffix",
}

// defaults creates objects that leave everything out and compares what the API server makes of them with what the
// fields' documentation promises.
func (s *suite) defaults(t *testing.T) {
	s.writeKubeconfig(t, "free", s.members["west"].kubeconfig(t))
	for crd, objects := range map[string][]string{
		"meshinstallations.mesh.meshfleet.io": {
			fmt.Sprintf(small, version, ""),
			fmt.Sprintf(small, version, "trust: {root: {selfSigned: {}}}"),
			fmt.Sprintf(small, version, `charts: {oci: "oci://registry.example.com"}`),
			fmt.Sprintf(small, version, `charts: {oci: "oci://registry.example.com", verify: {}}`),
			fmt.Sprintf(small, version, `trust: {root: {issuerRef: {name: ours}}}`),
			fmt.Sprintf(small, version, `upgrade: {waves: [{name: all, window: {schedule: "0 22 * * *", duration: 1h}}], `+everyGate+"}"),
		},
		"meshmembers.mesh.meshfleet.io": {
			fmt.Sprintf(smallOrder, ""),
			fmt.Sprintf(smallOrder, `rollout: {upgrade: small-1, stage: Preflight, orderedAt: "2026-01-01T00:00:00Z",
    from: {name: 1-29-1, version: 1.29.1}, to: {name: 1-29-1-a, version: 1.29.1}, `+everyGate+"}"),
		},
	} {
		t.Run(crd, func(t *testing.T) {
			definition := &apiextensionsv1.CustomResourceDefinition{}
			must(t, s.hub.admin.Get(t.Context(), client.ObjectKey{Name: crd}, definition))
			schema := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			documented, seen := map[string]bool{}, map[string]bool{}
			visit(&schema, "spec", func(path, _ string) { documented[path] = true })
			if len(documented) < 10 {
				t.Fatalf("found %d documented defaults: the search itself is broken", len(documented))
			}
			for _, text := range objects {
				o := &unstructured.Unstructured{}
				must(t, yaml.Unmarshal([]byte(text), &o.Object))
				must(t, s.hub.admin.Create(t.Context(), o, client.DryRunAll))
				compareDefaults(t, &schema, o.Object["spec"], "spec", seen)
			}
			for path := range seen {
				delete(documented, path)
			}
			if len(documented) > 0 {
				t.Errorf("no object shows what these are when they are left out: %v", slices.Sorted(maps.Keys(documented)))
			}
		})
	}
}

var defaultInWords = regexp.MustCompile("Default: `?([^;`]+)")

// promised is the default that a field's documentation names. Empty: none.
func promised(s *apiextensionsv1.JSONSchemaProps) string {
	if m := defaultInWords.FindStringSubmatch(strings.ReplaceAll(s.Description, "\n", " ")); m != nil {
		return strings.TrimSuffix(m[1], ".")
	}
	return ""
}

// visit calls for every field below a schema that documents a default.
func visit(s *apiextensionsv1.JSONSchemaProps, path string, call func(path, want string)) {
	if want := promised(s); want != "" {
		call(path, want)
	}
	for name := range s.Properties {
		below := s.Properties[name]
		visit(&below, path+"."+name, call)
	}
	if s.Items != nil && s.Items.Schema != nil {
		visit(s.Items.Schema, path+"[]", call)
	}
}

// compareDefaults compares an object with the documentation of its fields, as deep as the object goes.
func compareDefaults(t *testing.T, s *apiextensionsv1.JSONSchemaProps, value any, path string, seen map[string]bool) {
	t.Helper()
	list, _ := value.([]any)
	for _, one := range list {
		compareDefaults(t, s.Items.Schema, one, path+"[]", seen)
	}
	object, _ := value.(map[string]any)
	for name := range s.Properties {
		if object == nil {
			continue
		}
		below, at := s.Properties[name], path+"."+name
		got, isSet := object[name]
		if want := promised(&below); want != "" {
			seen[at] = true
			isUnset := !isSet && (slices.Contains(inWords, at) || slices.Contains([]string{"0", "0s", "false", "none"}, want))
			if _, isObject := got.(map[string]any); !isObject && !isUnset && !isQuoted(want, got) && !slices.Contains(inWords, at) {
				t.Errorf("%s is %v, the documentation promises %q", at, got, want)
			}
		}
		if isSet {
			compareDefaults(t, &below, got, at, seen)
		}
	}
}

// isQuoted says whether a documented default begins with a value.
func isQuoted(want string, got any) bool {
	rest, ok := strings.CutPrefix(want, fmt.Sprint(got))
	return ok && (rest == "" || strings.ContainsAny(rest[:1], " .,("))
}

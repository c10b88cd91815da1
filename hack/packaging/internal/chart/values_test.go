package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"
)

// change is a change of one value, and what it does to the manifests.
type change struct {
	// given are other values that the one needs to have an effect.
	given  string
	values string
	// want appears with the change, gone disappears.
	want, gone string
}

const (
	monitored = "metrics: {serviceMonitor: {enable: true}, prometheusRule: {enable: true}}"
	corporate = "certManager: {issuerRef: {name: corporate}}"
	aDigest   = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// changes has an entry for each value of the chart.
var changes = map[string]change{
	"manager.replicas":                {values: "manager: {replicas: 2}", want: "replicas: 2", gone: "replicas: 1"},
	"manager.image.repository":        {values: "manager: {image: {repository: 'mirror.example.com:5000/mesh'}}", want: `image: "mirror.example.com:5000/mesh:dev"`},
	"manager.image.tag":               {values: "manager: {image: {tag: v9}}", want: `image: "meshfleet/meshfleet:v9"`},
	"manager.image.digest":            {values: "manager: {image: {digest: '" + aDigest + "'}}", want: `image: "meshfleet/meshfleet@` + aDigest},
	"manager.image.pullPolicy":        {values: "manager: {image: {pullPolicy: Always}}", want: `imagePullPolicy: "Always"`},
	"manager.imagePullSecrets":        {values: "manager: {imagePullSecrets: [{name: registry}]}", want: "- name: registry"},
	"manager.charts":                  {values: "manager: {charts: 'oci://registry.example.com/istio'}", want: `- "--charts=oci://registry.example.com/istio"`},
	"manager.chartsAllowed":           {values: "manager: {chartsAllowed: ['oci://a/', secret/b]}", want: `- "--charts-allowed=oci://a/,secret/b"`},
	"manager.memberConcurrency":       {values: "manager: {memberConcurrency: 64}", want: `- "--member-concurrency=64"`},
	"manager.installationConcurrency": {values: "manager: {installationConcurrency: 8}", want: `- "--installation-concurrency=8"`},
	"manager.memberProbeInterval":     {values: "manager: {memberProbeInterval: 30s}", want: `- "--member-probe-interval=30s"`},
	"manager.memberDownAfter":         {values: "manager: {memberDownAfter: 1m30s}", want: `- "--member-down-after=1m30s"`},
	"manager.logLevel":                {values: "manager: {logLevel: '2'}", want: `- "--zap-log-level=2"`},
	"manager.logEncoder":              {values: "manager: {logEncoder: console}", want: `- "--zap-encoder=console"`},
	"manager.args":                    {values: "manager: {args: [--zap-devel]}", want: `- "--zap-devel"`},
	"manager.env":                     {values: "manager: {env: [{name: HTTPS_PROXY, value: 'http://proxy:3128'}]}", want: "value: http://proxy:3128"},
	"manager.resources":               {values: "manager: {resources: {limits: {memory: 2Gi}}}", want: "memory: 2Gi", gone: "memory: 1Gi"},
	"manager.nodeSelector":            {values: "manager: {nodeSelector: {disk: ssd}}", want: "disk: ssd"},
	"manager.tolerations":             {values: "manager: {tolerations: [{key: infra, operator: Exists}]}", want: "key: infra"},
	"manager.affinity":                {values: "manager: {affinity: {podAntiAffinity: null, nodeAffinity: {}}}", want: "nodeAffinity", gone: "podAntiAffinity"},
	"manager.topologySpreadConstraints": {
		values: "manager: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}", want: "topologyKey: zone",
	},
	"manager.priorityClassName":       {values: "manager: {priorityClassName: system-cluster-critical}", want: `priorityClassName: "system-cluster-critical"`},
	"manager.podLabels":               {values: "manager: {podLabels: {team: mesh}}", want: "team: mesh"},
	"manager.podAnnotations":          {values: "manager: {podAnnotations: {example.com/scan: 'true'}}", want: `example.com/scan: "true"`},
	"manager.podSecurityContext":      {values: "manager: {podSecurityContext: {runAsUser: null}}", gone: "runAsUser: 65532"},
	"manager.securityContext":         {values: "manager: {securityContext: {privileged: false}}", want: "privileged: false"},
	"manager.extraVolumes":            {values: "manager: {extraVolumes: [{name: proxy-ca, configMap: {name: proxy-ca}}]}", want: "- configMap:"},
	"manager.extraVolumeMounts":       {values: "manager: {extraVolumeMounts: [{name: proxy-ca, mountPath: /ca}]}", want: "- mountPath: /ca"},
	"serviceAccount.annotations":      {values: "serviceAccount: {annotations: {example.com/role: mesh}}", want: "example.com/role: mesh"},
	"crd.enable":                      {values: "crd: {enable: false}", gone: "kind: CustomResourceDefinition"},
	"crd.keep":                        {values: "crd: {keep: false}", gone: "helm.sh/resource-policy"},
	"certManager.issuerRef.name":      {values: corporate, want: `name: "corporate"`, gone: "kind: Issuer"},
	"certManager.issuerRef.kind":      {given: corporate, values: "certManager: {issuerRef: {kind: ClusterIssuer}}", want: `kind: "ClusterIssuer"`},
	"certManager.issuerRef.group":     {given: corporate, values: "certManager: {issuerRef: {group: example.com}}", want: `group: "example.com"`},
	"rbacHelpers.enable":              {values: "rbacHelpers: {enable: false}", gone: "meshfleet-meshapproval-approver"},
	"rbacHelpers.aggregate.viewer":    {values: "rbacHelpers: {aggregate: {viewer: []}}", gone: "aggregate-to-view"},
	"rbacHelpers.aggregate.editor":    {values: "rbacHelpers: {aggregate: {editor: [edit]}}", want: `aggregate-to-edit: "true"`},
	"rbacHelpers.aggregate.steering":  {values: "rbacHelpers: {aggregate: {steering: [edit]}}", want: `aggregate-to-edit: "true"`},
	"rbacHelpers.aggregate.approver":  {values: "rbacHelpers: {aggregate: {approver: [admin]}}", want: `aggregate-to-admin: "true"`},
	"metrics.enable":                  {values: "metrics: {enable: false}", want: "--metrics-bind-address=0", gone: "meshfleet-metrics-auth"},
	"metrics.serviceMonitor.enable":   {values: "metrics: {serviceMonitor: {enable: true}}", want: "kind: ServiceMonitor"},
	"metrics.serviceMonitor.interval": {given: monitored, values: "metrics: {serviceMonitor: {interval: 15s}}", want: `interval: "15s"`},
	"metrics.serviceMonitor.labels":   {given: monitored, values: "metrics: {serviceMonitor: {labels: {release: prom}}}", want: "release: prom"},
	"metrics.prometheusRule.enable":   {values: "metrics: {prometheusRule: {enable: true}}", want: "kind: PrometheusRule"},
	"metrics.prometheusRule.labels":   {given: monitored, values: "metrics: {prometheusRule: {labels: {release: prom}}}", want: "release: prom"},
	"networkPolicy.enable":            {values: "networkPolicy: {enable: true}", want: "kind: NetworkPolicy"},
	"networkPolicy.metricsFrom":       {given: "networkPolicy: {enable: true}", values: "networkPolicy: {metricsFrom: []}", gone: "metrics: enabled"},
}

// everyOption sets as many values as possible at the same time.
const everyOption = `
manager:
  replicas: 2
  imagePullSecrets: [{name: registry}]
  charts: oci://registry.example.com/istio
  chartsAllowed: [oci://registry.example.com/]
  memberConcurrency: 64
  args: [--zap-devel]
  env: [{name: NO_PROXY, value: 10.0.0.0/8}, {name: SECRET, valueFrom: {secretKeyRef: {name: a, key: b}}}]
  resources: {limits: {cpu: "2"}}
  nodeSelector: {disk: ssd}
  tolerations: [{key: infra, operator: Exists, effect: NoSchedule}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}]
  priorityClassName: system-cluster-critical
  podLabels: {team: mesh}
  podAnnotations: {example.com/scan: "true"}
  podSecurityContext: {fsGroup: 1000650000}
  securityContext: {privileged: false}
  extraVolumes: [{name: ca, configMap: {name: ca}}]
  extraVolumeMounts: [{name: ca, mountPath: /ca}]
serviceAccount: {annotations: {example.com/role: mesh}}
certManager: {issuerRef: {kind: ClusterIssuer, name: corporate, group: cert-manager.io}}
rbacHelpers: {aggregate: {editor: [admin], steering: [admin], approver: [edit, admin]}}
metrics:
  serviceMonitor: {enable: true, interval: 30s, labels: {release: prom}}
  prometheusRule: {enable: true, labels: {release: prom}}
networkPolicy: {enable: true, metricsFrom: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}]}
`

func values(t *testing.T) []value {
	t.Helper()
	c, err := readConfig(sourcesOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return table(c, Release{})
}

// TestEveryValueHasAnEffect changes each value alone. A value that no template reads must not exist.
func TestEveryValueHasAnEffect(t *testing.T) {
	r := standard(t)
	all := leaves(values(t), "")
	for path := range changes {
		if _, ok := all[path]; !ok {
			t.Errorf("the chart has no value %s", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		t.Run(path, func(t *testing.T) {
			c, ok := changes[path]
			if !ok {
				t.Fatal("no change of the value is known: add one to changes")
			}
			before, err := r.text(c.given)
			if err != nil {
				t.Fatal(err)
			}
			after, err := r.text(c.given, c.values)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && c.gone == "" {
				t.Fatal("the change has no expectation")
			}
			if c.want != "" && (strings.Contains(before, c.want) || !strings.Contains(after, c.want)) {
				t.Errorf("%q does not appear with %s (-before +after):\n%s", c.want, c.values, cmp.Diff(before, after))
			}
			if c.gone != "" && (!strings.Contains(before, c.gone) || strings.Contains(after, c.gone)) {
				t.Errorf("%q does not disappear with %s (-before +after):\n%s", c.gone, c.values, cmp.Diff(before, after))
			}
		})
	}
}

// TestZeroMeansTheDefaultOfTheOperator wants no flag for a number that is 0.
func TestZeroMeansTheDefaultOfTheOperator(t *testing.T) {
	text, err := standard(t).text("manager: {memberConcurrency: 0, installationConcurrency: 0}")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "-concurrency=") {
		t.Error("there is a flag for 0")
	}
}

func TestSchemaRefuses(t *testing.T) {
	r := standard(t)
	for name, tt := range map[string]struct {
		values string
		want   []string
	}{
		"a value that does not exist":  {values: "replicas: 2", want: []string{"additional properties 'replicas' not allowed"}},
		"a misspelled value":           {values: "manager: {replica: 2}", want: []string{"/manager", "additional properties 'replica' not allowed"}},
		"a text for a number":          {values: "manager: {replicas: two}", want: []string{"/manager/replicas", "want integer"}},
		"a negative number":            {values: "manager: {memberConcurrency: -1}", want: []string{"/manager/memberConcurrency"}},
		"a text for a switch":          {values: "crd: {enable: 'no'}", want: []string{"/crd/enable", "want boolean"}},
		"a digest without algorithm":   {values: "manager: {image: {digest: abc}}", want: []string{"/manager/image/digest", "pattern"}},
		"a tag in the repository":      {values: "manager: {image: {repository: 'a/b:v1'}}", want: []string{"/manager/image/repository"}},
		"an unknown pull policy":       {values: "manager: {image: {pullPolicy: Sometimes}}", want: []string{"/manager/image/pullPolicy", "IfNotPresent"}},
		"a source that is no URL":      {values: "manager: {charts: registry.example.com}", want: []string{"/manager/charts"}},
		"a level that does not exist":  {values: "manager: {logLevel: trace}", want: []string{"/manager/logLevel"}},
		"a duration without a unit":    {values: "manager: {memberDownAfter: '30'}", want: []string{"/manager/memberDownAfter"}},
		"a variable without a name":    {values: "manager: {env: [{value: a}]}", want: []string{"/manager/env/0", "name"}},
		"an unknown field of affinity": {values: "manager: {affinity: {antiAffinity: {}}}", want: []string{"/manager/affinity", "antiAffinity"}},
		"an unknown built-in role":     {values: "rbacHelpers: {aggregate: {editor: [owner]}}", want: []string{"/rbacHelpers/aggregate/editor/0", "admin"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.text(tt.values)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error:\n%v", want, err)
				}
			}
		})
	}
}

func TestTemplatesRefuseValuesThatContradict(t *testing.T) {
	r := standard(t)
	for name, tt := range map[string]struct{ values, want string }{
		"a ServiceMonitor without metrics": {
			values: "metrics: {enable: false, serviceMonitor: {enable: true}}", want: "metrics.serviceMonitor.enable is true, but metrics.enable is false",
		},
		"alerts without metrics": {
			values: "metrics: {enable: false, prometheusRule: {enable: true}}", want: "metrics.prometheusRule.enable is true, but metrics.enable is false",
		},
		"a ClusterIssuer without a name": {values: "certManager: {issuerRef: {kind: ClusterIssuer}}", want: "set certManager.issuerRef.name"},
		"a group without a name":         {values: "certManager: {issuerRef: {group: example.com}}", want: "set certManager.issuerRef.name"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.text(tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestValuesAreDescribed reads the files as users do: each value has a comment, and a type and the same description in the schema.
func TestValuesAreDescribed(t *testing.T) {
	files := filesOf(t, Release{})
	var schema map[string]any
	if err := json.Unmarshal(files["values.schema.json"], &schema); err != nil {
		t.Fatal(err)
	}
	read, err := chartutil.ReadValues(files["values.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	comment := regexp.MustCompile(`(?m)^ *# .+\n *(\w+):`)
	commented := map[string]bool{}
	for _, m := range comment.FindAllStringSubmatch(string(files["values.yaml"]), -1) {
		commented[m[1]] = true
	}
	checkDescribed(t, "", read, schema, commented)
}

// checkDescribed compares the values of a group with the schema of the group.
func checkDescribed(t *testing.T, path string, group, schema map[string]any, commented map[string]bool) {
	t.Helper()
	if schema["additionalProperties"] != false {
		t.Errorf("the schema of %q accepts any value", path)
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		t.Fatalf("the schema of %q has no properties", path)
	}
	for name := range properties {
		if _, ok := group[name]; !ok && path+name != "global" {
			t.Errorf("values.yaml has no %s%s", path, name)
		}
	}
	for name, v := range group {
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("the schema has no %s%s", path, name)
			continue
		}
		if property["type"] == nil || property["description"] == "" || property["description"] == nil {
			t.Errorf("%s%s has the type %v and the description %v", path, name, property["type"], property["description"])
		}
		if !commented[name] {
			t.Errorf("%s%s has no comment in values.yaml", path, name)
		}
		if _, isValue := property["default"]; !isValue {
			child, ok := v.(map[string]any)
			if !ok {
				t.Errorf("%s%s is no group", path, name)
				continue
			}
			checkDescribed(t, path+name+".", child, property, commented)
		}
	}
}

// TestReadmeHasAllValues wants a row for each value.
func TestReadmeHasAllValues(t *testing.T) {
	page := string(filesOf(t, Release{})["README.md"])
	for path, v := range leaves(values(t), "") {
		if !strings.Contains(page, "| `"+path+"` | "+v.description+" |") {
			t.Errorf("README.md has no row for %s", path)
		}
	}
}

// fixedFlags are flags of the operator that the chart sets itself, and those for `make run` and for people.
var fixedFlags = []string{"version", "leader-elect", "metrics-bind-address", "health-probe-bind-address", "webhook-cert-path", "charts-dir", "namespace"}

// TestFlagsOfTheOperatorHaveValues wants a value for each flag of main.go.
func TestFlagsOfTheOperatorHaveValues(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(repository, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, flag := range fixedFlags {
		known[flag] = true
	}
	for _, f := range flagValues {
		known[strings.TrimPrefix(f.flag, "--")] = true
	}
	flags := regexp.MustCompile(`flag\.\w+Var\(&s\.\w+, "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(flags) < len(fixedFlags) {
		t.Fatalf("main.go has only %d flags", len(flags))
	}
	for _, m := range flags {
		if !known[m[1]] {
			t.Errorf("no value sets the flag --%s: add one to flagValues", m[1])
		}
		delete(known, m[1])
	}
	for flag := range known {
		if !strings.HasPrefix(flag, "zap-") {
			t.Errorf("the operator has no flag --%s", flag)
		}
	}
}

package charts

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// refusals are the paths that a check refuses, with its messages.
func refusals(t *testing.T, version, chart, text string) (paths []string, messages string) {
	t.Helper()
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	err := library(t).CheckValues(Ref{Chart: chart, Version: version}, values)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			v, ok := errors.AsType[*ValueError](e)
			if !ok {
				t.Fatalf("%v is no ValueError", e)
			}
			if strings.Contains(v.Problem, "s3cret") {
				t.Errorf("the message repeats the value: %v", e)
			}
			paths, messages = append(paths, v.Path), messages+v.Error()+"\n"
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return paths, messages
}

func TestCheckValues(t *testing.T) {
	cases := map[string]struct {
		chart, values string
		want          []string
		// wantText is in the messages.
		wantText string
	}{
		"known values pass":                       {Istiod, `{autoscaleMin: 2, global: {hub: x}, pilot: {env: {A: b}}, profile: demo, trafficDistribution: PreferClose}`, nil, ""},
		"a typo":                                  {Istiod, `{autoscaleMinn: 2}`, []string{"autoscaleMinn"}, `did you mean "autoscaleMin"?`},
		"a typo below pilot":                      {Istiod, `{pilot: {autoscaleMinn: 2}}`, []string{"pilot.autoscaleMinn"}, `did you mean "autoscaleMin"?`},
		"an owned key":                            {Istiod, `{revision: x, global: {network: n}}`, []string{"global.network", "revision"}, "the operator sets this value itself"},
		"an owned key below pilot":                {Istiod, `{pilot: {env: {ISTIO_MULTIROOT_MESH: "false"}}}`, []string{"pilot.env.ISTIO_MULTIROOT_MESH"}, ""},
		"an owned key that is null":               {Istiod, `{revision: null}`, []string{"revision"}, ""},
		"a value that the release does not take":  {Istiod, `{env: {METRIC_ROTATION_INTERVAL: 10s}}`, []string{"env.METRIC_ROTATION_INTERVAL"}, "statsEvictionInterval"},
		"a gateway's typo":                        {Gateway, `{podAnotations: null}`, []string{"podAnotations"}, `did you mean "podAnnotations"?`},
		"a gateway's owned key":                   {Gateway, `{name: x}`, []string{"name"}, ""},
		"a gateway's owned key below global":      {Gateway, `{global: {kind: DaemonSet}}`, []string{"global.kind"}, "the operator sets this value itself"},
		"a gateway's global values":               {Gateway, `{global: {networkPolicy: {enabled: true}, imagePullPolicy: Always}}`, nil, ""},
		"meshConfig as a text":                    {Istiod, "meshConfig: |\n  accessLogFile: s3cret\n", []string{"meshConfig"}, "is a text, and the istiod chart of 1.29.1 has a map there; write its content as keys"},
		"env as a list":                           {Istiod, `{env: [{name: PILOT_X, value: s3cret}]}`, []string{"env"}, "is a list, and the istiod chart of 1.29.1 has a map there; write a map with the names as keys"},
		"env as a list below pilot":               {Istiod, `{pilot: {env: [{name: PILOT_X, value: s3cret}]}}`, []string{"pilot.env"}, "write a map with the names as keys"},
		"a text for a map":                        {Istiod, `{global: s3cret}`, []string{"global"}, "has a map there"},
		"a text for a map deep down":              {Istiod, `{global: {proxy: {resources: {limits: s3cret}}}}`, []string{"global.proxy.resources.limits"}, "has a map there"},
		"a map for a text":                        {Istiod, `{global: {hub: {registry: s3cret}}}`, []string{"global.hub"}, "is a map, and the istiod chart of 1.29.1 has a text there; write a text"},
		"a list for a text that is empty":         {Istiod, `{global: {imagePullPolicy: [Always]}}`, []string{"global.imagePullPolicy"}, "write a text"},
		"a map for a list":                        {Istiod, `{tolerations: {key: s3cret}}`, []string{"tolerations"}, "write a list"},
		"a number in quotes":                      {Istiod, `{autoscaleMin: "2"}`, []string{"autoscaleMin"}, "is a text, and the istiod chart of 1.29.1 has a number there; remove the quotes"},
		"a boolean in quotes":                     {Istiod, `{autoscaleEnabled: "false"}`, []string{"autoscaleEnabled"}, "write true or false, without quotes"},
		"a boolean for a number":                  {Istiod, `{global: {proxy: {statusPort: true}}}`, []string{"global.proxy.statusPort"}, "write a number"},
		"a text that YAML takes for a boolean":    {Istiod, `{global: {proxy: {logLevel: off}}}`, []string{"global.proxy.logLevel"}, "is a boolean, and the istiod chart of 1.29.1 has a text there; put it in quotes"},
		"a quantity without quotes":               {Istiod, `{resources: {requests: {cpu: 2}}, global: {tag: 1.29}}`, nil, ""},
		"a percentage of a budget":                {Istiod, `{pdb: {minAvailable: 50%}}`, nil, ""},
		"what the chart leaves open":              {Istiod, `{affinity: {nodeAffinity: {a: [1]}}, global: {waypoint: {affinity: {a: 1}}}, gatewayClasses: {istio: {a: {b: c}}}}`, nil, ""},
		"null for any":                            {Istiod, `{resources: {limits: null, requests: {cpu: null}}, cpu: null}`, nil, ""},
		"null where the operator sets values":     {Istiod, `{meshConfig: null, global: null}`, []string{"global", "meshConfig"}, "the operator sets values below it"},
		"a gateway's Service as a text":           {Gateway, `{service: NodePort, autoscaling: false}`, []string{"autoscaling", "service"}, "is a boolean, and the gateway chart of 1.29.1 has a map there; write a map"},
		"a gateway's memory target":               {Gateway, `{autoscaling: {targetMemoryUtilizationPercentage: 80}}`, nil, ""},
		"a gateway's environment as a list":       {Gateway, `{env: [{name: A, value: b}]}`, []string{"env"}, "NAME: value"},
		"a gateway's budget and replicas":         {Gateway, `{podDisruptionBudget: {minAvailable: 50%}, terminationGracePeriodSeconds: 900, minReadySeconds: 5}`, nil, ""},
		"a gateway's number in quotes":            {Gateway, `{terminationGracePeriodSeconds: "900"}`, []string{"terminationGracePeriodSeconds"}, "remove the quotes"},
		"nothing is checked twice at one path":    {Istiod, `{env: text, meshConfig: {defaultConfig: []}}`, []string{"env", "meshConfig.defaultConfig"}, ""},
		"an unknown compatibilityVersion":         {Istiod, `{compatibilityVersion: "1.20"}`, []string{"compatibilityVersion"}, "or write one of"},
		"images, volumes and init containers":     {Istiod, `{image: x, hub: y, volumes: [{name: v}], volumeMounts: [{name: v}], initContainers: [{name: i}], extraContainerArgs: [--x]}`, nil, ""},
		"annotations and labels with dots":        {Istiod, `{podAnnotations: {a.b/c: "true"}, podLabels: {a.b/c: d}}`, nil, ""},
		"a profile of proxies, but not of istiod": {Istiod, `{profile: ambient}`, nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, messages := refusals(t, "1.29.1", c.chart, c.values)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("refused paths (-want +got):\n%s\n%s", diff, messages)
			}
			if !strings.Contains(messages, c.wantText) {
				t.Errorf("messages have no %q:\n%s", c.wantText, messages)
			}
		})
	}
}

// TestCheckValuesRefusesWhatKeepsAMemberFromBecomingReady has the values with which istiod runs, and the operator waits for ever.
func TestCheckValuesRefusesWhatKeepsAMemberFromBecomingReady(t *testing.T) {
	cases := map[string]struct{ values, path, text string }{
		"a profile without istiod":         {`{profile: remote}`, "profile", "installs no istiod"},
		"the same below global":            {`{global: {profile: remote}}`, "global.profile", "installs no istiod"},
		"another ConfigMap of the root":    {`{global: {trustBundleName: mine}}`, "global.trustBundleName", "istio-ca-root-cert"},
		"the same by its variable":         {`{env: {PILOT_CA_CERT_CONFIGMAP: mine}}`, "env.PILOT_CA_CERT_CONFIGMAP", "istio-ca-root-cert"},
		"the same by a reference":          {`{envVarFrom: [{name: A}, {name: PILOT_CA_CERT_CONFIGMAP, valueFrom: {}}]}`, "envVarFrom[1]", "PILOT_CA_CERT_CONFIGMAP: istiod"},
		"the same below pilot":             {`{pilot: {env: {PILOT_CA_CERT_CONFIGMAP: mine}}}`, "pilot.env.PILOT_CA_CERT_CONFIGMAP", "istio-ca-root-cert"},
		"a ClusterTrustBundle":             {`{env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: "true"}}`, "env.ENABLE_CLUSTER_TRUST_BUNDLE_API", "istio-ca-root-cert"},
		"the same as a boolean":            {`{env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: true}}`, "env.ENABLE_CLUSTER_TRUST_BUNDLE_API", "istio-ca-root-cert"},
		"no injection webhook":             {`{env: {INJECTION_WEBHOOK_CONFIG_NAME: ""}}`, "env.INJECTION_WEBHOOK_CONFIG_NAME", "caBundle"},
		"no validation webhook":            {`{env: {VALIDATION_WEBHOOK_CONFIG_NAME: null}}`, "env.VALIDATION_WEBHOOK_CONFIG_NAME", "caBundle"},
		"no meshConfig":                    {`{configMap: false}`, "configMap", "trust domain"},
		"no templates":                     {`{global: {omitSidecarInjectorConfigMap: true}}`, "global.omitSidecarInjectorConfigMap", "templates"},
		"another CA":                       {`{global: {caAddress: "cert-manager-istio-csr.cert-manager.svc:443"}}`, "global.caAddress", "issuerRef"},
		"another CA for proxies":           {`{meshConfig: {defaultConfig: {proxyMetadata: {CA_ADDR: "ca:443"}}}}`, "meshConfig.defaultConfig.proxyMetadata.CA_ADDR", "issuerRef"},
		"no CA":                            {`{env: {ENABLE_CA_SERVER: "false"}}`, "env.ENABLE_CA_SERVER", "issuerRef"},
		"no provider of certificates":      {`{global: {pilotCertProvider: none}}`, "global.pilotCertProvider", "istio-ca-root-cert"},
		"signing certificates elsewhere":   {`{env: {ROOT_CA_DIR: /x}}`, "env.ROOT_CA_DIR", "signing certificate"},
		"peers in files":                   {`{env: {PILOT_MULTICLUSTER_KUBECONFIG_PATH: /x}}`, "env.PILOT_MULTICLUSTER_KUBECONFIG_PATH", "remote secrets"},
		"a webhook of another host":        {`{base: {validationURL: "https://x"}}`, "base.validationURL", "its own istiod"},
		"proxies of another control plane": {`{meshConfig: {defaultConfig: {discoveryAddress: "x:15012"}}}`, "meshConfig.defaultConfig.discoveryAddress", "its own istiod"},
		"another mesh ID of proxies":       {`{meshConfig: {defaultConfig: {meshId: x}}}`, "meshConfig.defaultConfig.meshId", "the operator sets"},
		"another revision":                 {`{env: {REVISION: x}}`, "env.REVISION", "the operator sets"},
		"a flag of the chart":              {`{extraContainerArgs: [--x, "--domain=corp.internal"]}`, "extraContainerArgs[1]", "--domain"},
		"an external istiod":               {`{istiodRemote: {enabled: true}}`, "istiodRemote", "the operator sets"},
	}
	for name, c := range cases {
		for _, version := range versions() {
			t.Run(name+"/"+version, func(t *testing.T) {
				got, messages := refusals(t, version, Istiod, c.values)
				if !slices.Equal(got, []string{c.path}) || !strings.Contains(messages, c.text) {
					t.Errorf("refused %q, want %s with %q:\n%s", got, c.path, c.text, messages)
				}
			})
		}
	}
}

// TestCheckValuesRefusesWhatAReleaseRemoved has a value that does nothing from 1.31 on.
func TestCheckValuesRefusesWhatAReleaseRemoved(t *testing.T) {
	for _, version := range versions() {
		var want []string
		if istioversion.Compare(version, "1.31.0") >= 0 {
			want = []string{"env.PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY"}
		}
		got, messages := refusals(t, version, Istiod, `{env: {PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY: "false"}}`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: refused paths (-want +got):\n%s\n%s", version, diff, messages)
		}
	}
}

// TestCheckValuesAcceptsTheHarmless has the same values with the chart's own content, and others of the kind.
func TestCheckValuesAcceptsTheHarmless(t *testing.T) {
	for _, values := range []string{
		`{profile: stable, configMap: true, global: {trustBundleName: "", caAddress: "", omitSidecarInjectorConfigMap: false}}`,
		`{env: {ENABLE_CA_SERVER: "true", ENABLE_CLUSTER_TRUST_BUNDLE_API: "false", INJECTION_WEBHOOK_CONFIG_NAME: istio-sidecar-injector}}`,
		`{global: {pilotCertProvider: istiod}}`,
		`{global: {pilotCertProvider: k8s.io/clusterissuers.cert-manager.io/x}, env: {EXTERNAL_CA: ISTIOD_RA_KUBERNETES_API}}`,
		`{envVarFrom: [{name: PILOT_X, valueFrom: {}}], extraContainerArgs: [--log_output_level=debug]}`,
	} {
		for _, version := range versions() {
			if got, messages := refusals(t, version, Istiod, values); len(got) > 0 {
				t.Errorf("%s: %s is refused:\n%s", version, values, messages)
			}
		}
	}
}

func TestCheckValuesKnowsTheSchemaOfMeshConfig(t *testing.T) {
	cases := map[string]struct {
		values string
		want   []string
		text   string
	}{
		"a typo":                         {`{meshConfig: {acessLogFile: s3cret}}`, []string{"meshConfig.acessLogFile"}, `did you mean "accessLogFile"?`},
		"a typo below pilot":             {`{pilot: {meshConfig: {acessLogFile: s3cret}}}`, []string{"pilot.meshConfig.acessLogFile"}, `"accessLogFile"`},
		"a typo of proxies":              {`{meshConfig: {defaultConfig: {holdApplicationUntilProxyStart: true}}}`, []string{"meshConfig.defaultConfig.holdApplicationUntilProxyStart"}, `"holdApplicationUntilProxyStarts"`},
		"a name of no other":             {`{meshConfig: {defaultConfig: {zzz: 1}}}`, []string{"meshConfig.defaultConfig.zzz"}, "does not know this field of ProxyConfig; remove it"},
		"a typo in a list":               {`{meshConfig: {extensionProviders: [{name: a, zipkin: {service: s, port: 1}}, {name: b, zipkin: {servce: s}}]}}`, []string{"meshConfig.extensionProviders[1].zipkin.servce"}, `"service"`},
		"a number for a text":            {`{meshConfig: {defaultConfig: {proxyMetadata: {A: 1, B: "2"}}}}`, []string{"meshConfig.defaultConfig.proxyMetadata.A"}, "is a number, and Istio needs a text: put it in quotes"},
		"a text for a boolean":           {`{meshConfig: {enableAutoMtls: "s3cret"}}`, []string{"meshConfig.enableAutoMtls"}, "is a text, and Istio needs a boolean"},
		"a text for a plain boolean":     {`{meshConfig: {disableEnvoyListenerLog: "s3cret"}}`, []string{"meshConfig.disableEnvoyListenerLog"}, "needs a boolean"},
		"a number for a duration":        {`{meshConfig: {connectTimeout: 10}}`, []string{"meshConfig.connectTimeout"}, "is a number, and Istio needs a duration such as 10s"},
		"a duration of another form":     {`{meshConfig: {connectTimeout: 10min}}`, []string{"meshConfig.connectTimeout"}, "duration such as 10s"},
		"a name that is none of those":   {`{meshConfig: {outboundTrafficPolicy: {mode: s3cret}}}`, []string{"meshConfig.outboundTrafficPolicy.mode"}, "name among REGISTRY_ONLY, ALLOW_ANY"},
		"a map for a list":               {`{meshConfig: {discoverySelectors: {matchLabels: {a: b}}}}`, []string{"meshConfig.discoverySelectors"}, "is a map, and Istio has a list there; write a list"},
		"a list for a map":               {`{meshConfig: {defaultConfig: {proxyMetadata: [{name: A, value: b}]}}}`, []string{"meshConfig.defaultConfig.proxyMetadata"}, "write a map with the names as keys"},
		"a text for a message":           {`{meshConfig: {defaultConfig: {tracing: s3cret}}}`, []string{"meshConfig.defaultConfig.tracing"}, "is a text, and Istio has a map there"},
		"two of which one may be":        {`{meshConfig: {extensionProviders: [{name: a, zipkin: {service: s, port: 1}, datadog: {service: s, port: 1}}]}}`, []string{"meshConfig.extensionProviders[0].zipkin"}, "one of datadog and zipkin"},
		"one field in both spellings":    {`{meshConfig: {accessLogFile: a, access_log_file: b}}`, []string{"meshConfig"}, "both spellings"},
		"null in a list":                 {`{meshConfig: {trustDomainAliases: [null]}}`, []string{"meshConfig.trustDomainAliases[0]"}, "is a null"},
		"networks":                       {`{global: {meshNetworks: {net: {endpoints: [{fromRegistry: r}], gateways: [{address: 1.1.1.1, prt: 1}]}}}}`, []string{"global.meshNetworks.net.gateways[0].prt"}, `did you mean "port"?`},
		"networks as Istio documents":    {`{global: {meshNetworks: {net: {endpoints: [{fromRegistry: r}], gateways: [{address: 1.1.1.1, port: 443}]}}}}`, nil, ""},
		"null for any field":             {`{meshConfig: {enablePrometheusMerge: null, defaultConfig: {tracing: null}}}`, nil, ""},
		"both spellings":                 {`{meshConfig: {access_log_file: /dev/stdout, defaultConfig: {proxy_metadata: {A: b}}}}`, nil, ""},
		"numbers as numbers and as text": {`{meshConfig: {defaultConfig: {statusPort: 15020, concurrency: "2", tracing: {sampling: 1.5}}}}`, nil, ""},
		"what users set": {`
meshConfig:
  accessLogFile: /dev/stdout
  accessLogEncoding: JSON
  enableAutoMtls: false
  enablePrometheusMerge: true
  connectTimeout: 5s
  trustDomainAliases: [old.domain]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  discoverySelectors: [{matchLabels: {mesh: "on"}}, {matchExpressions: [{key: a, operator: In, values: [b]}]}]
  localityLbSetting: {enabled: true, distribute: [{from: a/*, to: {b/*: 100}}]}
  defaultProviders: {accessLogging: [otel], metrics: [prometheus], tracing: [otel]}
  pathNormalization: {normalization: MERGE_SLASHES}
  serviceSettings: [{settings: {clusterLocal: true}, hosts: ["*.demo.svc.cluster.local"]}]
  caCertificates: [{pem: x, certSigners: [signer]}]
  extensionProviders:
  - name: otel
    envoyOtelAls: {service: otel.observability.svc.cluster.local, port: 4317, logFormat: {labels: {status: "%RESPONSE_CODE%"}}}
  - name: ext-authz
    envoyExtAuthzGrpc: {service: authz.demo.svc.cluster.local, port: "9000", timeout: 1s, failOpen: true, includeRequestBodyInCheck: {maxRequestBytes: 1024}}
  defaultConfig:
    holdApplicationUntilProxyStarts: true
    drainDuration: 45s
    terminationDrainDuration: 5s
    concurrency: 2
    tracing: {sampling: 10, zipkin: {address: "zipkin:9411"}, customTags: {a: {literal: {value: b}}}}
    proxyStatsMatcher: {inclusionRegexps: [x], inclusionPrefixes: [prefix]}
    proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}
    image: {imageType: distroless}
    gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}}
    readinessProbe: {httpGet: {path: /x, port: 80}}
    proxyHeaders: {server: {disabled: true}, requestId: {disabled: false}}
`, nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, messages := refusals(t, "1.28.3", Istiod, c.values)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("refused paths (-want +got):\n%s\n%s", diff, messages)
			}
			if !strings.Contains(messages, c.text) {
				t.Errorf("messages have no %q:\n%s", c.text, messages)
			}
		})
	}
}

// TestDefaultsPassTheirOwnCheck has the defaults of every chart, without what the operator sets, and its own profiles.
func TestDefaultsPassTheirOwnCheck(t *testing.T) {
	for _, version := range versions() {
		for _, name := range []string{Istiod, Gateway} {
			c, err := library(t).load(Ref{Chart: name, Version: version})
			if err != nil {
				t.Fatal(err)
			}
			defaults := c.Values[defaultsKey].(map[string]any)
			check := &valueCheck{version: version, chart: name, problems: map[string]string{}}
			known := knownKeys(c, name, defaults)
			check.names("", defaults, known)
			check.types("", defaults, defaults)
			check.meshConfig("", defaults)
			for _, f := range c.Files {
				profile := map[string]any{}
				if !strings.HasPrefix(f.Name, "files/profile-") || strings.Contains(f.Name, "platform") || strings.Contains(f.Name, "compatibility") {
					continue
				}
				if err := yaml.Unmarshal(f.Data, &profile); err != nil {
					t.Fatal(err)
				}
				if name == Istiod {
					check.types(f.Name+": ", profile, defaults)
					check.meshConfig(f.Name+": ", profile)
				}
			}
			for path, problem := range check.problems {
				t.Errorf("%s %s: %s: %s", name, version, path, problem)
			}
		}
	}
}

// TestSamplesPass has the values of the samples and of the lab.
func TestSamplesPass(t *testing.T) {
	files, err := filepath.Glob(testutil.InRepository("config", "samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range append(files, testutil.InRepository("hack", "lab", "overlays", "mesh", "values.yaml")) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(raw), "\n---\n") {
			type withValues struct {
				Values map[string]any `json:"values"`
			}
			var mesh struct {
				Kind string `json:"kind"`
				Spec struct {
					ControlPlane    withValues   `json:"controlPlane"`
					EastWestGateway withValues   `json:"eastWestGateway"`
					Members         []withValues `json:"members"`
				} `json:"spec"`
			}
			if err := yaml.Unmarshal([]byte(doc), &mesh); err != nil {
				t.Fatal(err)
			}
			if mesh.Kind != "MeshInstallation" {
				continue
			}
			checked++
			for _, version := range versions() {
				errs := []error{
					library(t).CheckValues(Ref{Chart: Istiod, Version: version}, mesh.Spec.ControlPlane.Values), library(t).CheckValues(Ref{Chart: Gateway, Version: version}, mesh.Spec.EastWestGateway.Values),
				}
				for _, m := range mesh.Spec.Members {
					errs = append(errs, library(t).CheckValues(Ref{Chart: Istiod, Version: version}, m.Values))
				}
				if err := errors.Join(errs...); err != nil {
					t.Errorf("%s with %s: %v", file, version, err)
				}
			}
		}
	}
	if checked < 2 {
		t.Errorf("%d meshes were checked", checked)
	}
}

package charts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// reservation is a value that the operator refuses.
type reservation struct {
	// path of the value, dotted.
	path string
	// when says for which content it is refused. Nil: for any.
	when func(v any) bool
	// problem says why, and what to do. Empty: the operator sets it itself.
	problem string
}

const (
	owned = "the operator sets this value itself; remove it"
	// Why a member would not become ready, or would not be part of the mesh.
	otherRoot = "istiod would not publish the root in the ConfigMap istio-ca-root-cert, which gateways mount and the operator reads; remove it"
	otherCA   = "proxies would not get their certificates from istiod of their member, which signs under the root of the mesh; remove it, and " +
		"set spec.trust.root.issuerRef to use a CA of yours"
	noArms     = "istiod would not write the caBundle of this webhook, without which the member does not become ready; remove it"
	noTemplate = "istiod would have no templates for proxies, so that neither pods nor gateways get one; remove it"
	noConfig   = "istiod would run without meshConfig and without the trust domain of the mesh; remove it"
	noIstiod   = `the profile "remote" installs no istiod, and every member runs its own; remove it`
	otherHost  = "the webhooks of a revision must call its own istiod, which writes their caBundle; remove it"
	otherPlane = "the proxies of a revision must connect to its own istiod; remove it"
	noCacerts  = "istiod would not read the signing certificate of its member; remove it"
	noPeers    = "istiod would read peers from files and ignore the remote secrets of the operator; remove it"
)

// ownedBy are the values that the operator sets itself, or that must keep the chart's default.
var ownedBy = map[string][]string{
	Istiod: {
		defaultsKey, "defaults", "revision", "revisionTags", "defaultRevision", "istiodRemote",
		"env.ISTIO_MULTIROOT_MESH", "env.REVISION", "env.CLUSTER_ID", "env.POD_NAMESPACE", "env.EXTERNAL_ISTIOD",
		"meshConfig.trustDomain", "meshConfig.defaultConfig.meshId",
		"meshConfig.defaultConfig.proxyMetadata.PROXY_CONFIG_XDS_AGENT",
		"global.meshID", "global.network", "global.multiCluster", "global.istioNamespace", "global.operatorManageWebhooks",
		"global.externalIstiod", "global.configCluster", "global.resourceScope", "global.configValidation",
		"global.enableReaderRBAC", "global.readerServiceAccount", "global.remotePilotAddress",
	},
	Gateway: {
		defaultsKey, "defaults", "name", "revision", "networkGateway", "networkGatewayPorts", "kind",
		"autoscaling.enabled", "autoscaling.minReplicas", "autoscaling.maxReplicas", "replicaCount",
		"service.type", "service.ports", "service.annotations", "serviceAccount.create",
		"labels.app", "labels.istio", "env.ISTIO_META_REQUESTED_NETWORK_VIEW",
	},
}

// harmful are values of the istiod chart with which istiod runs and the member never becomes ready, or leaves the mesh.
var harmful = []reservation{
	{"profile", is("remote"), noIstiod},
	{"global.profile", is("remote"), noIstiod},
	{"configMap", isFalse, noConfig},
	{"global.omitSidecarInjectorConfigMap", isTrue, noTemplate},
	{"global.trustBundleName", isSet, otherRoot},
	{"env.PILOT_CA_CERT_CONFIGMAP", nil, otherRoot},
	{"env.ENABLE_CLUSTER_TRUST_BUNDLE_API", isTrue, otherRoot},
	{"global.pilotCertProvider", isForeignProvider, otherRoot},
	{"env.PILOT_CERT_PROVIDER", isForeignProvider, otherRoot},
	{"env.ENABLE_CA_SERVER", isFalse, otherCA},
	{"global.caAddress", isSet, otherCA},
	{"global.caName", isSet, otherCA},
	{"meshConfig.defaultConfig.proxyMetadata.CA_ADDR", isSet, otherCA},
	{"meshConfig.defaultConfig.proxyMetadata.CA_PROVIDER", isSet, otherCA},
	{"env.ROOT_CA_DIR", nil, noCacerts},
	{"env.PILOT_MULTICLUSTER_KUBECONFIG_PATH", isSet, noPeers}, // from 1.30 on
	{"env.INJECTION_WEBHOOK_CONFIG_NAME", isEmpty, noArms},
	{"env.VALIDATION_WEBHOOK_CONFIG_NAME", isEmpty, noArms},
	{"base.validationURL", isSet, otherHost},
	{"base.validationCABundle", isSet, otherHost},
	{"meshConfig.defaultConfig.discoveryAddress", isSet, otherPlane},
}

// ownedArgs are the flags of istiod that the chart sets, or whose change hides istiod from the operator.
var ownedArgs = []string{
	"--domain", "--meshConfig", "--clusterID", "--clusterRegistriesNamespace", "--registries", "--namespace",
	"--monitoringAddr", "--httpAddr", "--httpsAddr", "--grpcAddr", "--secureGRPCAddr",
}

// reservations are those of a chart.
func reservations(chart string) []reservation {
	all := make([]reservation, 0, len(ownedBy[chart])+len(harmful))
	for _, path := range ownedBy[chart] {
		all = append(all, reservation{path: path, problem: owned})
	}
	if chart == Istiod {
		all = append(all, harmful...)
	}
	return all
}

// reserved refuses what the operator sets itself, and what keeps a member from becoming ready. Environment variables are
// found in envVarFrom too, whose content is not known.
func (c *valueCheck) reserved(prefix string, values map[string]any) {
	for _, r := range reservations(c.chart) {
		if v, ok := lookup(values, r.path); ok && (r.when == nil || r.when(v)) {
			c.refuse(prefix+r.path, "%s", r.problem)
		}
		variable, isVariable := strings.CutPrefix(r.path, "env.")
		from, _ := values["envVarFrom"].([]any)
		for i, item := range from {
			if m, ok := item.(map[string]any); isVariable && ok && m["name"] == variable {
				c.refuse(fmt.Sprintf("%senvVarFrom[%d]", prefix, i), "%s: %s", variable, r.problem)
			}
		}
	}
	if c.chart != Istiod {
		return
	}
	args, _ := values["extraContainerArgs"].([]any)
	for i, arg := range args {
		text, _ := arg.(string)
		flag, _, _ := strings.Cut(text, "=")
		if slices.Contains(ownedArgs, flag) {
			c.refuse(fmt.Sprintf("%sextraContainerArgs[%d]", prefix, i), "the flag %s of istiod must be as the chart sets it; remove it", flag)
		}
	}
}

// containers refuses what is no map where the operator sets a value below: the operator's map would replace it.
func (c *valueCheck) containers(prefix string, values map[string]any) {
	for _, path := range ownedBy[c.chart] {
		keys := strings.Split(path, ".")
		for n := 1; n < len(keys); n++ {
			at := strings.Join(keys[:n], ".")
			v, ok := lookup(values, at)
			if !ok {
				break
			}
			if _, isMap := v.(map[string]any); !isMap {
				c.refuse(prefix+at, "is a %s, and the operator sets values below it; write a map, or remove it", typeOf(v))
				break
			}
		}
	}
}

func is(content string) func(any) bool { return func(v any) bool { return fmt.Sprint(v) == content } }

// isEmpty counts null as empty: the chart writes an empty text.
func isEmpty(v any) bool { return v == nil || v == "" }

func isSet(v any) bool { return !isEmpty(v) }

// isTrue and isFalse read a text as istiod reads its environment.
func isTrue(v any) bool {
	b, err := strconv.ParseBool(fmt.Sprint(v))
	return err == nil && b
}

func isFalse(v any) bool {
	b, err := strconv.ParseBool(fmt.Sprint(v))
	return v == nil || err == nil && !b
}

// isForeignProvider says whether istiod would publish no root: it does for its own certificate and for signers of Kubernetes.
func isForeignProvider(v any) bool {
	text := fmt.Sprint(v)
	return text != "istiod" && !strings.HasPrefix(text, "k8s.io/")
}

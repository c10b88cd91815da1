package charts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// defaultsKey holds a chart's defaults; templates merge the user's values over it, so that Helm itself sees none of
// the real keys and accepts every typo. Source: zzz_profile.yaml of each chart.
const defaultsKey = "_internal_defaults_do_not_set"

// extraKeys are top-level keys that the templates read though the defaults do not list them.
var extraKeys = map[string][]string{
	Istiod:  {"profile", "platform", "compatibilityVersion", "pilot", "global", "meshConfig"},
	Gateway: {"profile", "platform", "compatibilityVersion", "global"},
	Base:    {"profile", "platform", "compatibilityVersion", "global"},
}

// reserved are the values that the operator sets itself, as dotted paths. The istiod chart also reads every key
// below `pilot.`.
var reserved = map[string][]string{
	Istiod: {
		defaultsKey, "defaults", "revision", "revisionTags", "defaultRevision", "istiodRemote",
		"env.ISTIO_MULTIROOT_MESH", "meshConfig.trustDomain",
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

// ValueError is one value that cannot be accepted.
type ValueError struct {
	// Path is the dotted path of the value.
	Path string
	// Problem says what is wrong and what to do.
	Problem string
}

func (e *ValueError) Error() string { return e.Path + ": " + e.Problem }

// CheckValues checks a user's values: every top-level key must be one that the chart of this version knows, and none
// may be one that the operator sets itself. The error joins one *ValueError for each bad value; ErrNoChart when the
// version is missing.
func (l *Library) CheckValues(version, chartName string, values map[string]any) error {
	c, err := l.load(version, chartName)
	if err != nil {
		return err
	}
	defaults, ok := c.Values[defaultsKey].(map[string]any)
	if !ok {
		return fmt.Errorf("chart %s %s has no %s", chartName, version, defaultsKey)
	}
	known := append(sortedKeys(defaults), extraKeys[chartName]...)
	var problems []error
	for _, path := range reserved[chartName] {
		for _, p := range []string{path, "pilot." + path} {
			if hasPath(values, p) {
				problems = append(problems, &ValueError{Path: p, Problem: "the operator sets this value itself; remove it"})
			}
		}
	}
	for _, k := range sortedKeys(values) {
		if k == defaultsKey || k == "defaults" || slices.Contains(known, k) {
			continue
		}
		problem := fmt.Sprintf("the %s chart of %s does not know this value", chartName, version)
		if s := nearest(k, known); s != "" {
			problem += fmt.Sprintf("; did you mean %q?", s)
		}
		problems = append(problems, &ValueError{Path: k, Problem: problem})
	}
	return errors.Join(problems...)
}

func hasPath(values map[string]any, path string) bool {
	head, rest, deeper := strings.Cut(path, ".")
	v, ok := values[head]
	if !ok || !deeper {
		return ok
	}
	m, isMap := v.(map[string]any)
	return isMap && hasPath(m, rest)
}

// nearest finds the known key that differs from k in at most two edits.
func nearest(k string, known []string) string {
	best, distance := "", 3
	for _, c := range known {
		if d := editDistance(strings.ToLower(k), strings.ToLower(c)); d < distance && !strings.HasPrefix(c, "_") {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package chart

import "sigs.k8s.io/yaml"

// repositoryURL is where the sources are.
const repositoryURL = "https://github.com/meshfleet/meshfleet"

// chartYAML returns Chart.yaml.
func chartYAML(c config, release Release) ([]byte, error) {
	version, appVersion := release.Version, release.Version
	if version == "" {
		// The image of the tree has a tag of that name.
		version, appVersion = developmentVersion, c.tag
	}
	return yaml.Marshal(map[string]any{
		"apiVersion":  "v2",
		"name":        Name,
		"description": "Operator that keeps one Istio service mesh over many clusters",
		"type":        "application",
		"version":     version,
		"appVersion":  appVersion,
		"kubeVersion": ">=1.30.0-0",
		"home":        repositoryURL,
		"sources":     []string{repositoryURL},
		"icon":        "https://raw.githubusercontent.com/meshfleet/meshfleet/main/config/manifests/bases/meshfleet.svg",
		"keywords":    []string{"istio", "service mesh", "multicluster", "operator"},
		"annotations": map[string]string{"artifacthub.io/license": "Apache-2.0", "artifacthub.io/operator": "true"},
	})
}

package chart

// duration is what the flags of the operator take for a duration, or nothing.
const duration = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))*$`

// table returns all values of the chart. Their defaults are those of config.
func table(c config, release Release) []value {
	return []value{
		{name: "manager", description: "The operator's Deployment. Leader election is always on.", group: manager(c, release)},
		{name: "serviceAccount", description: "The ServiceAccount meshfleet-controller-manager.", group: []value{
			{name: "annotations", description: "Annotations of the ServiceAccount.", initial: map[string]any{}, schema: texts()},
		}},
		{name: "crd", description: "The CRDs. They are templates, so that `helm upgrade` updates them.", group: []value{
			{name: "enable", description: "Install the CRDs. Set it to false if another tool installs those of the same version.",
				initial: true, schema: boolean()},
			{name: "keep", description: "Keep the CRDs when the release is uninstalled. To delete a CRD deletes all objects of its kind.",
				initial: true, schema: boolean()},
		}},
		{name: "certManager", description: "The certificate of the admission webhooks. cert-manager is required.", group: []value{
			{name: "issuerRef", description: "The issuer of the certificate. Its Secrets must contain ca.crt: the API server verifies the webhooks by it.",
				group: issuer()},
		}},
		{name: "rbacHelpers", description: "ClusterRoles for people.", group: rbacHelpers()},
		{name: "metrics", description: "The metrics of the operator, over HTTPS and for authorized clients only.", group: metrics()},
		{name: "networkPolicy", description: "A NetworkPolicy for incoming connections. The webhooks stay open for the API server.", group: []value{
			{name: "enable", description: "Install the NetworkPolicy.", initial: false, schema: boolean()},
			{name: "metricsFrom", description: "Who may connect to the metrics: a list of NetworkPolicyPeers. Empty: everybody.",
				initial: c.metricsFrom, schema: listOf(kubernetes())},
		}},
	}
}

func manager(c config, release Release) []value {
	pod := c.deployment.Spec.Template.Spec
	repository := c.repository
	if release.Repository != "" {
		repository = release.Repository
	}
	return append([]value{
		{name: "replicas", description: "Number of pods. One holds the lease and works, all answer the admission webhooks: set 2 for high " +
			"availability. A PodDisruptionBudget lets one pod at a time be evicted.", initial: c.deployment.Spec.Replicas, schema: count()},
		{name: "image", description: "The operator's image.", group: []value{
			{name: "repository", description: "Name of the image without tag and digest, for example in a mirror.", initial: repository,
				schema: textLike(`^[^:@\s]+(:[0-9]+/[^:@\s]+)?$`)},
			{name: "tag", description: "Tag of the image. Default: the chart's appVersion. Without effect if there is a digest.", initial: "",
				schema: textLike(`^[A-Za-z0-9_.-]*$`)},
			{name: "digest", description: "Digest of the image, for example sha256:0123… . Charts of releases have one. It wins over the tag: to use another " +
				"tag, set it to an empty text.", initial: release.Digest, schema: textLike(`^(sha256:[0-9a-f]{64})?$`)},
			{name: "pullPolicy", description: "When nodes pull the image.", initial: string(c.container.ImagePullPolicy),
				schema: oneOf("Always", "IfNotPresent", "Never")},
		}},
		{name: "imagePullSecrets", description: "Secrets with credentials for the image's registry, for example [{name: registry}].", initial: []any{},
			schema: listOf(fields(map[string]any{"name": text()}, "name"))},
	}, append(flags(), podFields(map[string]any{
		"resources": c.container.Resources, "affinity": pod.Affinity,
		"podSecurityContext": pod.SecurityContext, "securityContext": c.container.SecurityContext,
	})...)...)
}

// flags are the values that become flags of the operator.
func flags() []value {
	return []value{
		{name: "charts", description: "Where the charts of Istio releases are that are not in the image, for meshes without spec.charts: a URL that begins " +
			"with oci://, https:// or http://. Empty: nowhere. The flag --charts.", initial: "", schema: textLike(`^((oci|https?)://.+)?$`)},
		{name: "chartsAllowed", description: "Which sources spec.charts may name: URLs, secret/NAME or configmap/NAME. One that ends with a slash stands for all " +
			"that begin with it. Empty: all. The flag --charts-allowed.", initial: []any{}, schema: listOf(textLike(`^[^,\s]+$`))},
		{name: "memberConcurrency", description: "How many members are worked on at the same time. 0: the operator's default, 32. " +
			"The flag --member-concurrency.", initial: 0, schema: count()},
		{name: "installationConcurrency", description: "How many MeshInstallations are worked on at the same time. 0: the operator's default, 4. " +
			"The flag --installation-concurrency.", initial: 0, schema: count()},
		{name: "memberProbeInterval", description: "How often each member's API server is asked whether it is there, for example 30s. Empty: the operator's " +
			"default, 10s. The flag --member-probe-interval.", initial: "", schema: textLike(duration)},
		{name: "memberDownAfter", description: "How long a member may be silent before it counts as unreachable, for example 1m. Empty: the operator's " +
			"default, 20s. The flag --member-down-after.", initial: "", schema: textLike(duration)},
		{name: "logLevel", description: "debug, info, error, panic, or a number for more details than debug, in quotes. Empty: info. The flag --zap-log-level.",
			initial: "", schema: textLike(`^(debug|info|error|panic|[1-9][0-9]*)?$`)},
		{name: "logEncoder", description: "Format of the log: json or console. Empty: json. The flag --zap-encoder.", initial: "",
			schema: oneOf("", "json", "console")},
		{name: "args", description: "More flags of the operator.", initial: []any{}, schema: listOf(textLike("^-"))},
	}
}

// podFields are the values that become fields of the pod. The defaults of some are those of config/manager.
func podFields(initial map[string]any) []value {
	variable := fields(map[string]any{"name": textLike("^.+$"), "value": text(), "valueFrom": kubernetes()}, "name")
	return []value{
		{name: "env", description: "More environment variables of the operator, for example HTTPS_PROXY and NO_PROXY. The proxy is used for members, " +
			"registries and gates: NO_PROXY must contain the addresses of API servers that are reached directly.", initial: []any{}, schema: listOf(variable)},
		{name: "resources", description: "Requests and limits of the operator. A limit of the memory ends the operator when it is reached.",
			initial: initial["resources"], schema: fields(map[string]any{"requests": kubernetes(), "limits": kubernetes(), "claims": listOf(kubernetes())})},
		{name: "nodeSelector", description: "Labels of the nodes on which pods may run.", initial: map[string]any{}, schema: texts()},
		{name: "tolerations", description: "Taints of nodes that pods tolerate.", initial: []any{}, schema: listOf(kubernetes())},
		{name: "affinity", description: "Affinity of pods. By default two replicas run on different nodes if that is possible. Your value is merged into the " +
			"default: set podAntiAffinity to null to remove that.", initial: initial["affinity"],
			schema: fields(map[string]any{"nodeAffinity": kubernetes(), "podAffinity": kubernetes(), "podAntiAffinity": kubernetes()})},
		{name: "topologySpreadConstraints", description: "How pods spread over zones and nodes.", initial: []any{}, schema: listOf(kubernetes())},
		{name: "priorityClassName", description: "PriorityClass of pods. Empty: the default of the cluster.", initial: "", schema: text()},
		{name: "podLabels", description: "More labels of pods.", initial: map[string]any{}, schema: texts()},
		{name: "podAnnotations", description: "More annotations of pods.", initial: map[string]any{}, schema: texts()},
		{name: "podSecurityContext", description: "Security context of pods. Your value is merged into the default: set a field to null to remove it, for " +
			"example runAsUser and runAsGroup on OpenShift.", initial: initial["podSecurityContext"], schema: kubernetes()},
		{name: "securityContext", description: "Security context of the container. Your value is merged into the default.",
			initial: initial["securityContext"], schema: kubernetes()},
		{name: "extraVolumes", description: "More volumes of pods, for example a ConfigMap with the certificates of a proxy.", initial: []any{},
			schema: listOf(kubernetes())},
		{name: "extraVolumeMounts", description: "Mounts of these volumes in the container.", initial: []any{}, schema: listOf(kubernetes())},
	}
}

func issuer() []value {
	return []value{
		{name: "name", description: "Name of the issuer. Empty: the chart has a self-signed one.", initial: "", schema: text()},
		{name: "kind", description: "Kind of the issuer, for example ClusterIssuer.", initial: "Issuer", schema: textLike("^.+$")},
		{name: "group", description: "API group of the issuer. Empty: cert-manager.io.", initial: "", schema: text()},
	}
}

func rbacHelpers() []value {
	roles := func(name, description string, initial ...any) value {
		if initial == nil {
			initial = []any{}
		}
		return value{name: name, description: description, initial: initial, schema: listOf(oneOf("view", "edit", "admin"))}
	}
	return []value{
		{name: "enable", description: "Install the ClusterRoles.", initial: true, schema: boolean()},
		{name: "aggregate", description: "Which built-in ClusterRoles get their permissions: a list of view, edit and admin.", group: []value{
			roles("viewer", "Read meshes, members, upgrades and approvals.", "view"),
			roles("editor", "Write MeshInstallations. Whoever does makes the operator act in other clusters, with its permissions there."),
			roles("steering", "Pause, abort and retry upgrades."),
			roles("approver", "Decide approvals."),
		}},
	}
}

func metrics() []value {
	return []value{
		{name: "enable", description: "Serve metrics, with a Service and the ClusterRoles for it.", initial: true, schema: boolean()},
		{name: "serviceMonitor", description: "For the Prometheus operator. Bind the ClusterRole meshfleet-metrics-reader to the ServiceAccount of your Prometheus.",
			group: []value{
				{name: "enable", description: "Install the ServiceMonitor.", initial: false, schema: boolean()},
				{name: "interval", description: "Time between two scrapes, for example 30s. Empty: that of Prometheus.", initial: "", schema: textLike(duration)},
				{name: "labels", description: "More labels, as your Prometheus selects ServiceMonitors.", initial: map[string]any{}, schema: texts()},
			}},
		{name: "prometheusRule", description: "The recommended alerts, for the Prometheus operator.", group: []value{
			{name: "enable", description: "Install the PrometheusRule.", initial: false, schema: boolean()},
			{name: "labels", description: "More labels, as your Prometheus selects rules.", initial: map[string]any{}, schema: texts()},
		}},
	}
}

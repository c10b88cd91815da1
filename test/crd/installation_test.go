package crd

const installationBase = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshInstallation
metadata: {name: shop, namespace: meshfleet-system}
spec:
  version: 1.29.1
  members:
  - {name: east, clusterRef: {kubeconfigSecret: {name: east-kubeconfig}}}
`

var installationCases = []ruleCases{
	{
		message: "metadata.name: at most 40 characters, because the names of Secrets and Certificates are derived from it",
		accepts: []string{`metadata: {name: a23456789-123456789-123456789-123456789x}`},
		rejects: []string{`metadata: {name: a23456789-123456789-123456789-123456789xy}`},
	},
	{
		message: "spec.meshID is immutable, because running proxies use it; create a new MeshInstallation for another mesh",
		updates: []update{
			{from: `spec: {meshID: shop}`, to: `spec: {meshID: shop, version: 1.29.2}`, wantOK: true},
			{from: `{}`, to: `spec: {version: 1.29.2}`, wantOK: true},
			{from: `spec: {meshID: shop}`, to: `spec: {meshID: other}`},
			{from: `{}`, to: `spec: {meshID: other}`},
			{from: `spec: {meshID: shop}`, to: `{}`},
		},
	},
	{
		message: "spec.members[].apiServer: required for a member with clusterRef.local when there are other members, because they cannot reach the in-cluster address",
		accepts: []string{
			`spec: {members: [{name: hub, clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: hub, apiServer: "https://hub:6443", clusterRef: {local: {}}}, {name: east, clusterRef: {kubeconfigSecret: {name: x}}}]}`,
			`spec: {members: [{name: west, clusterRef: {kubeconfigSecret: {name: z}}}, {name: east, clusterRef: {kubeconfigSecret: {name: x}}}]}`,
		},
		rejects: []string{
			`spec: {members: [{name: hub, clusterRef: {local: {}}}, {name: east, clusterRef: {kubeconfigSecret: {name: x}}}]}`,
		},
	},
	{
		message: "spec.version: write an exact Istio release without a prefix, for example 1.29.1",
		accepts: []string{`spec: {version: 1.28.3}`, `spec: {version: 10.200.3000}`},
		rejects: []string{
			`spec: {version: "1.29"}`, `spec: {version: v1.29.1}`, `spec: {version: latest}`, `spec: {version: 1.29.x}`,
			`spec: {version: 1.29.1-rc.0}`, `spec: {version: " 1.29.1"}`, `spec: {version: ""}`, `spec: {version: ../1.29.1}`,
		},
	},
	{
		message: "spec.meshID: use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit",
		accepts: []string{`spec: {meshID: shop}`, `spec: {meshID: shop-1.example}`, `spec: {meshID: s}`},
		rejects: []string{`spec: {meshID: Shop}`, `spec: {meshID: -shop}`, `spec: {meshID: shop.}`, `spec: {meshID: shop_1}`},
	},
	{
		message: "spec.trustDomain: use lower-case letters, digits, '-', '_' and '.'",
		accepts: []string{`spec: {trustDomain: shop.example}`, `spec: {trustDomain: shop_1}`},
		rejects: []string{`spec: {trustDomain: Shop.example}`, `spec: {trustDomain: "spiffe://shop"}`, `spec: {trustDomain: shop/x}`},
	},
	{
		message: "spec.trustDomain is immutable: every workload identity contains it",
		updates: []update{
			{from: `{}`, to: `spec: {trustDomain: cluster.local}`, wantOK: true},
			{from: `spec: {trustDomain: shop.example}`, to: `spec: {trustDomain: shop.example, version: 1.29.2}`, wantOK: true},
			{from: `{}`, to: `spec: {trustDomain: shop.example}`},
			{from: `spec: {trustDomain: shop.example}`, to: `{}`},
		},
	},
	{
		message: "spec.controlPlaneNamespace: must be a DNS label",
		accepts: []string{`spec: {controlPlaneNamespace: istio-system}`, `spec: {controlPlaneNamespace: mesh1}`},
		rejects: []string{`spec: {controlPlaneNamespace: Istio}`, `spec: {controlPlaneNamespace: istio.system}`, `spec: {controlPlaneNamespace: -a}`},
	},
	{
		message: "spec.controlPlaneNamespace: must be a dedicated namespace, not a system namespace",
		accepts: []string{`spec: {controlPlaneNamespace: kube-mesh}`},
		rejects: []string{
			`spec: {controlPlaneNamespace: default}`, `spec: {controlPlaneNamespace: kube-system}`,
			`spec: {controlPlaneNamespace: kube-public}`, `spec: {controlPlaneNamespace: kube-node-lease}`,
		},
	},
	{
		message: "spec.controlPlaneNamespace is immutable; create a new MeshInstallation and move the members to it",
		updates: []update{
			{from: `{}`, to: `spec: {controlPlaneNamespace: istio-system}`, wantOK: true},
			{from: `{}`, to: `spec: {controlPlaneNamespace: mesh}`},
			{from: `spec: {controlPlaneNamespace: mesh}`, to: `{}`},
		},
	},
	{
		message: "spec.members[].name: must be a DNS label of at most 40 characters",
		accepts: []string{`spec: {members: [{name: east-1, clusterRef: {local: {}}}]}`, `spec: {members: [{name: "1", clusterRef: {local: {}}}]}`},
		rejects: []string{
			`spec: {members: [{name: East, clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east., clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east-, clusterRef: {local: {}}}]}`,
		},
	},
	{
		message: "spec.members[].hold.reason: write one line, without spaces at its ends",
		accepts: []string{
			`spec: {members: [{name: east, clusterRef: {local: {}}, hold: {reason: "Kubernetes 1.31 until the migration in May", until: "2026-06-01T00:00:00Z"}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}}, hold: {reason: x, until: "2026-06-01T00:00:00+02:00"}}]}`,
		},
		rejects: []string{
			`spec: {members: [{name: east, clusterRef: {local: {}}, hold: {reason: " ", until: "2026-06-01T00:00:00Z"}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}}, hold: {reason: "a ", until: "2026-06-01T00:00:00Z"}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}}, hold: {reason: "a\nb", until: "2026-06-01T00:00:00Z"}}]}`,
		},
	},
	{
		message: "spec.dataPlane.restart.maxUnavailable: at least 1, or a percentage from 1% to 100%",
		accepts: []string{`spec: {dataPlane: {restart: {maxUnavailable: 3}}}`, `spec: {dataPlane: {restart: {maxUnavailable: 100%}}}`},
		rejects: []string{`spec: {dataPlane: {restart: {maxUnavailable: 0}}}`},
	},
	{
		message: "spec.upgrade.waves[].maxConcurrent: at least 1, or a percentage from 1% to 100%",
		accepts: []string{`spec: {upgrade: {waves: [{name: a, maxConcurrent: 1}]}}`, `spec: {upgrade: {waves: [{name: a, maxConcurrent: 25%}]}}`},
		rejects: []string{`spec: {upgrade: {waves: [{name: a, maxConcurrent: 0}]}}`},
	},
	{
		message: "spec.upgrade.planHash: required with mode Locked, and not accepted without it",
		accepts: []string{
			`spec: {upgrade: {mode: Locked, planHash: 3fa2c1}}`, `spec: {upgrade: {mode: Plan}}`, `spec: {upgrade: {mode: Run}}`, `spec: {upgrade: {}}`,
		},
		rejects: []string{
			`spec: {upgrade: {mode: Locked}}`, `spec: {upgrade: {mode: Plan, planHash: 3fa2c1}}`,
			`spec: {upgrade: {mode: Run, planHash: 3fa2c1}}`, `spec: {upgrade: {planHash: 3fa2c1}}`,
		},
	},
	{
		message: "spec.upgrade.waves[].name: must be a DNS label",
		accepts: []string{`spec: {upgrade: {waves: [{name: canary-1}]}}`},
		rejects: []string{`spec: {upgrade: {waves: [{name: Canary}]}}`, `spec: {upgrade: {waves: [{name: a-}]}}`},
	},
	{
		message: "spec.upgrade.waves[].soak: must not be negative",
		accepts: []string{`spec: {upgrade: {waves: [{name: a, soak: 0s}]}}`, `spec: {upgrade: {waves: [{name: a, soak: 1h30m}]}}`},
		rejects: []string{`spec: {upgrade: {waves: [{name: a, soak: -1s}]}}`},
	},
	{
		message: "spec.upgrade.waves[].window.duration: from 1m to 168h",
		accepts: []string{
			`spec: {upgrade: {waves: [{name: a, window: {schedule: 0 2 * * *, duration: 1m}}]}}`,
			`spec: {upgrade: {waves: [{name: a, window: {schedule: 0 2 * * *, duration: 168h, timeZone: Europe/Berlin}}]}}`,
		},
		rejects: []string{
			`spec: {upgrade: {waves: [{name: a, window: {schedule: 0 2 * * *, duration: 59s}}]}}`,
			`spec: {upgrade: {waves: [{name: a, window: {schedule: 0 2 * * *, duration: 169h}}]}}`,
		},
	},
	{
		message: "spec.upgrade.waves[].progressDeadline: at least 10s",
		accepts: []string{`spec: {upgrade: {waves: [{name: a, progressDeadline: 10s}]}}`},
		rejects: []string{`spec: {upgrade: {waves: [{name: a, progressDeadline: 9s}]}}`},
	},
	{
		message: "spec.members[].network is immutable, because running proxies use it; remove the member and add it again",
		updates: []update{
			{
				from: `spec: {members: [{name: east, clusterRef: {local: {}}}]}`,
				to:   `spec: {members: [{name: east, network: east, clusterRef: {local: {}}}]}`, wantOK: true,
			},
			{
				from: `spec: {members: [{name: east, network: a, clusterRef: {local: {}}}]}`,
				to:   `spec: {members: [{name: west, network: b, clusterRef: {local: {}}}]}`, wantOK: true,
			},
			{
				from: `spec: {members: [{name: east, network: a, clusterRef: {local: {}}}]}`,
				to:   `spec: {members: [{name: east, network: b, clusterRef: {local: {}}}]}`,
			},
			{
				from: `spec: {members: [{name: east, clusterRef: {local: {}}}]}`,
				to:   `spec: {members: [{name: east, network: b, clusterRef: {local: {}}}]}`,
			},
		},
	},
	{
		message: "spec.members[].network: must be a DNS label",
		accepts: []string{`spec: {members: [{name: east, network: net-east, clusterRef: {local: {}}}]}`},
		rejects: []string{
			`spec: {members: [{name: east, network: Net, clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, network: net.east, clusterRef: {local: {}}}]}`,
		},
	},
	{
		message: "spec.members[].labels: keys with the domain meshfleet.io are reserved for the operator",
		accepts: []string{`spec: {members: [{name: east, labels: {tier: canary, example.com/region: eu}, clusterRef: {local: {}}}]}`},
		rejects: []string{`spec: {members: [{name: east, labels: {mesh.meshfleet.io/member: west}, clusterRef: {local: {}}}]}`},
	},
	{
		message: "spec.members[].apiServerCA: requires apiServer; without it, the CA of the kubeconfig is used",
		accepts: []string{
			`spec: {members: [{name: east, apiServer: "https://203.0.113.7:6443", apiServerCA: "PEM", clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}}}]}`,
		},
		rejects: []string{`spec: {members: [{name: east, apiServerCA: "PEM", clusterRef: {local: {}}}]}`},
	},
	{
		message: "spec.members[].apiServer: must be an https URL with a host",
		accepts: []string{
			`spec: {members: [{name: east, apiServer: "https://203.0.113.7:6443", clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, apiServer: "https://east.example.com", clusterRef: {local: {}}}]}`,
		},
		rejects: []string{
			`spec: {members: [{name: east, apiServer: "http://203.0.113.7:6443", clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, apiServer: "203.0.113.7:6443", clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, apiServer: "https://", clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, apiServer: "/path", clusterRef: {local: {}}}]}`,
		},
	},
	{
		message: "spec.members[].clusterRef: set exactly one of kubeconfigSecret and local",
		accepts: []string{
			`spec: {members: [{name: east, clusterRef: {local: {}}}]}`,
			`spec: {members: [{name: east, clusterRef: {kubeconfigSecret: {name: x}}}]}`,
		},
		rejects: []string{
			`spec: {members: [{name: east, clusterRef: {}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}, kubeconfigSecret: {name: x}}}]}`,
		},
	},
	{
		message: "spec.trust.root: set at most one of selfSigned and issuerRef",
		accepts: []string{
			`spec: {trust: {root: {}}}`, `spec: {trust: {root: {selfSigned: {}}}}`, `spec: {trust: {root: {issuerRef: {name: ca}}}}`,
		},
		rejects: []string{`spec: {trust: {root: {selfSigned: {}, issuerRef: {name: ca}}}}`},
	},
	{
		message: "spec.trust.root.issuerRef is immutable: another issuer has another root, and workloads of two roots do not accept each other",
		updates: []update{
			{from: `spec: {trust: {root: {issuerRef: {name: ca}}}}`, to: `spec: {trust: {root: {issuerRef: {name: ca, kind: Issuer}}}}`, wantOK: true},
			{from: `{}`, to: `spec: {trust: {intermediate: {duration: 1440h}}}`, wantOK: true},
			{from: `spec: {trust: {root: {issuerRef: {name: ca}}}}`, to: `spec: {trust: {root: {issuerRef: {name: other}}}}`},
			{from: `spec: {trust: {root: {issuerRef: {name: ca}}}}`, to: `spec: {trust: {root: {issuerRef: {name: ca, kind: ClusterIssuer}}}}`},
			{from: `spec: {trust: {root: {issuerRef: {name: ca}}}}`, to: `spec: {trust: {root: {}}}`},
			{from: `spec: {trust: {root: {issuerRef: {name: ca}}}}`, to: `{}`},
			{from: `{}`, to: `spec: {trust: {root: {issuerRef: {name: ca}}}}`},
		},
	},
	{
		message: "spec.trust.root.selfSigned.size: 256, 384 or 521 for ECDSA; 2048, 3072 or 4096 for RSA",
		accepts: []string{
			`spec: {trust: {root: {selfSigned: {size: 384}}}}`,
			`spec: {trust: {root: {selfSigned: {algorithm: RSA, size: 4096}}}}`,
			`spec: {trust: {root: {selfSigned: {algorithm: RSA}}}}`,
		},
		rejects: []string{
			`spec: {trust: {root: {selfSigned: {size: 2048}}}}`,
			`spec: {trust: {root: {selfSigned: {algorithm: RSA, size: 256}}}}`,
			`spec: {trust: {root: {selfSigned: {algorithm: RSA, size: 1024}}}}`,
		},
	},
	{
		message: "spec.trust.root.selfSigned is immutable: a new root requires a rotation in which every member trusts both roots",
		updates: []update{
			{from: `spec: {trust: {root: {selfSigned: {}}}}`, to: `spec: {trust: {root: {selfSigned: {algorithm: ECDSA, duration: 87600h}}}}`, wantOK: true},
			{from: `{}`, to: `spec: {version: 1.29.2}`, wantOK: true},
			{from: `{}`, to: `spec: {trust: {root: {}}}`, wantOK: true},
			{from: `spec: {trust: {root: {selfSigned: {}}}}`, to: `spec: {trust: {root: {selfSigned: {algorithm: RSA}}}}`},
			{from: `spec: {trust: {root: {selfSigned: {algorithm: RSA}}}}`, to: `{}`},
			{from: `{}`, to: `spec: {trust: {root: {selfSigned: {algorithm: RSA}}}}`},
		},
	},
	{
		message: "spec.trust.root.selfSigned.duration: at least 720h",
		accepts: []string{`spec: {trust: {root: {selfSigned: {duration: 720h}}, intermediate: {duration: 360h, renewBefore: 120h}}}`},
		rejects: []string{`spec: {trust: {root: {selfSigned: {duration: 719h59m}}, intermediate: {duration: 72h, renewBefore: 48h}}}`},
	},
	{
		message: "spec.trust.root.selfSigned.duration: at least twice spec.trust.intermediate.duration, because no certificate is valid for longer than the root; " +
			"increase the duration of the root or decrease that of the intermediates",
		accepts: []string{
			`spec: {trust: {root: {selfSigned: {duration: 4320h}}}}`,
			`spec: {trust: {intermediate: {duration: 43800h}}}`,
			`spec: {trust: {root: {selfSigned: {}}, intermediate: {duration: 43800h}}}`,
			`spec: {trust: {root: {selfSigned: {duration: 720h}}, intermediate: {duration: 360h, renewBefore: 48h}}}`,
			`spec: {trust: {root: {issuerRef: {name: ca}}, intermediate: {duration: 87600h}}}`,
		},
		rejects: []string{
			`spec: {trust: {root: {selfSigned: {duration: 720h}}}}`,
			`spec: {trust: {root: {selfSigned: {duration: 4319h}}}}`,
			`spec: {trust: {intermediate: {duration: 43801h}}}`,
			`spec: {trust: {root: {selfSigned: {duration: 720h}}, intermediate: {duration: 360h0m1s, renewBefore: 48h}}}`,
		},
	},
	{
		message: "spec.trust.intermediate.renewBefore: must be shorter than duration; without a value it is 720h, so set both for a duration of 720h or less",
		accepts: []string{`spec: {trust: {intermediate: {duration: 72h, renewBefore: 48h}}}`},
		rejects: []string{
			`spec: {trust: {intermediate: {duration: 72h, renewBefore: 72h}}}`,
			`spec: {trust: {intermediate: {duration: 72h}}}`,
			`spec: {trust: {intermediate: {duration: 720h}}}`,
		},
	},
	{
		message: "spec.trust.intermediate.duration: at least 72h, because workload certificates are valid for 24h, and none may be valid for longer than the intermediate",
		accepts: []string{`spec: {trust: {intermediate: {duration: 72h, renewBefore: 48h}}}`},
		rejects: []string{`spec: {trust: {intermediate: {duration: 71h, renewBefore: 48h}}}`},
	},
	{
		message: "spec.discovery.tokenDuration: write a duration from 10m to 8760h",
		accepts: []string{`spec: {discovery: {tokenDuration: 10m}}`, `spec: {discovery: {tokenDuration: 8760h}}`},
		rejects: []string{`spec: {discovery: {tokenDuration: 9m59s}}`, `spec: {discovery: {tokenDuration: 8761h}}`},
	},
	{
		message: "spec.trust.intermediate.renewBefore: at least 48h, twice the lifetime of a workload certificate",
		accepts: []string{`spec: {trust: {intermediate: {renewBefore: 48h}}}`},
		rejects: []string{`spec: {trust: {intermediate: {renewBefore: 47h}}}`},
	},
	{
		message: "spec.eastWestGateway.replicas: min (2 if it is not set) must not be greater than max (5 if it is not set)",
		accepts: []string{`spec: {eastWestGateway: {replicas: {min: 2, max: 2}}}`, `spec: {eastWestGateway: {replicas: {min: 5}}}`},
		rejects: []string{
			`spec: {eastWestGateway: {replicas: {min: 3, max: 2}}}`, `spec: {eastWestGateway: {replicas: {min: 6}}}`, `spec: {eastWestGateway: {replicas: {max: 1}}}`,
		},
	},
	{
		message: "spec.members[].eastWestGateway.replicas: min must not be greater than max",
		accepts: []string{
			`spec: {members: [{name: east, clusterRef: {local: {}}, eastWestGateway: {replicas: {min: 2, max: 2}}}]}`,
			`spec: {members: [{name: east, clusterRef: {local: {}}, eastWestGateway: {replicas: {max: 1}}}]}`,
		},
		rejects: []string{`spec: {members: [{name: east, clusterRef: {local: {}}, eastWestGateway: {replicas: {min: 3, max: 2}}}]}`},
	},
	{
		message: "spec.dataPlane.tags[].name: must be a DNS label that starts with a letter, so that it cannot be mistaken for a revision",
		accepts: []string{`spec: {dataPlane: {tags: [{name: prod}, {name: canary-1}]}}`},
		rejects: []string{
			`spec: {dataPlane: {tags: [{name: 1-29-1}]}}`, `spec: {dataPlane: {tags: [{name: Prod}]}}`, `spec: {dataPlane: {tags: [{name: prod.eu}]}}`,
		},
	},
	{
		message: "spec.dataPlane.tags[].name: the tag default always exists; do not list it",
		accepts: []string{`spec: {dataPlane: {tags: [{name: defaults}]}}`, `spec: {dataPlane: {tags: []}}`},
		rejects: []string{`spec: {dataPlane: {tags: [{name: prod}, {name: default}]}}`},
	},
	{
		message: "spec.upgrade.gates[].configDiff.failOn: must be one of TLSWeakened, AuthorizationChanged, ListenersLost, FiltersLost, FiltersReordered, RoutesLost, RoutesReordered, RoutesChanged, ClustersLost, EndpointsLost, IdentitiesLost, Changed, Added",
		accepts: []string{`spec: {upgrade: {gates: [{name: ConfigDiff, configDiff: {failOn: [RoutesLost, Added]}}]}}`},
		rejects: []string{`spec: {upgrade: {gates: [{name: ConfigDiff, configDiff: {failOn: [RoutesLost, Everything]}}]}}`},
	},
	{
		message: "spec.upgrade.gates[].prometheus.compare: must be Ratio or Difference",
		accepts: []string{`spec: {upgrade: {gates: [{name: a, prometheus: {url: "http://x", query: "$(pods)", max: "1", compare: Difference}}]}}`},
		rejects: []string{`spec: {upgrade: {gates: [{name: a, prometheus: {url: "http://x", query: "$(pods)", max: "1", compare: Sum}}]}}`},
	},
	{
		message: "spec.upgrade.gates[].name: must be the name of a built-in gate, or for a custom gate a DNS label that starts with a lower-case letter",
		accepts: []string{`spec: {upgrade: {gates: [{name: EndpointsComplete, dryRun: true}, {name: GatewaysProgrammed}, {name: slo-1, webhook: {url: "http://x"}}]}}`},
		rejects: []string{
			`spec: {upgrade: {gates: [{name: EndpointsComplete}, {name: 1-slo, webhook: {url: "http://x"}}]}}`,
			`spec: {upgrade: {gates: [{name: Nonsense}]}}`,
			`spec: {upgrade: {gates: [{name: slo., webhook: {url: "http://x"}}]}}`,
		},
	},
	{
		message: "spec.upgrade.gates[].configDiff: allowed for the gate ConfigDiff only",
		accepts: []string{
			`spec: {upgrade: {gates: [{name: ConfigDiff}, {name: ConfigValid}]}}`,
			`spec: {upgrade: {gates: [{name: ConfigDiff, configDiff: {failOn: [TLSWeakened, Added], sample: 100}}]}}`,
		},
		rejects: []string{
			`spec: {upgrade: {gates: [{name: ConfigValid, configDiff: {sample: 1}}]}}`,
			`spec: {upgrade: {gates: [{name: own, webhook: {url: "http://x"}, configDiff: {sample: 1}}]}}`,
		},
	},
	{
		message: "spec.upgrade.gates[]: a custom gate must have exactly one of prometheus and webhook; a built-in gate must have neither, and a custom gate cannot use its name",
		accepts: []string{
			`spec: {upgrade: {gates: [{name: ConfigValid}, {name: a, webhook: {url: "http://x"}}, {name: b, prometheus: {url: "http://x", query: up, min: "1"}}]}}`,
		},
		rejects: []string{
			`spec: {upgrade: {gates: [{name: endpointscomplete}]}}`,
			`spec: {upgrade: {gates: [{name: a, webhook: {url: "http://x"}, prometheus: {url: "http://x", query: up, min: "1"}}]}}`,
			`spec: {upgrade: {gates: [{name: ConfigValid, webhook: {url: "http://x"}}]}}`,
			`spec: {upgrade: {gates: [{name: ConfigValid, prometheus: {url: "http://x", query: up, min: "1"}}]}}`,
		},
	},
}

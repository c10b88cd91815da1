package crd

// chartsCases are those of spec.charts.
var chartsCases = []ruleCases{
	{
		message: "spec.charts: set exactly one of oci, repository and archives",
		accepts: []string{
			`spec: {charts: {oci: "oci://registry.example.com/istio"}}`,
			`spec: {charts: {repository: "https://charts.example.com"}}`,
			`spec: {charts: {archives: {secretRef: {name: charts}}}}`,
		},
		rejects: []string{
			`spec: {charts: {}}`,
			`spec: {charts: {oci: "oci://registry.example.com/istio", repository: "https://charts.example.com"}}`,
			`spec: {charts: {repository: "https://charts.example.com", archives: {secretRef: {name: charts}}}}`,
		},
	},
	{
		message: "spec.charts: pullSecretRef, caBundle and proxy have no effect on archives; remove them",
		accepts: []string{`spec: {charts: {oci: "oci://registry.example.com/istio", pullSecretRef: {name: x}, caBundle: PEM, proxy: "http://proxy:3128"}}`},
		rejects: []string{
			`spec: {charts: {archives: {secretRef: {name: charts}}, pullSecretRef: {name: x}}}`,
			`spec: {charts: {archives: {secretRef: {name: charts}}, caBundle: PEM}}`,
			`spec: {charts: {archives: {secretRef: {name: charts}}, proxy: "http://proxy:3128"}}`,
		},
	},
	{
		message: "spec.charts.pullSecretRef: requires a repository with https, because the password must not be sent unencrypted",
		accepts: []string{`spec: {charts: {repository: "https://charts.example.com", pullSecretRef: {name: x}}}`},
		rejects: []string{`spec: {charts: {repository: "http://charts.example.com", pullSecretRef: {name: x}}}`},
	},
	{
		message: "spec.charts.verify.cosignPublicKey: only a registry has signatures; use oci, or verify.digests",
		accepts: []string{
			`spec: {charts: {oci: "oci://registry.example.com/istio", verify: {cosignPublicKey: PEM}}}`,
			`spec: {charts: {repository: "https://charts.example.com", verify: {}}}`,
		},
		rejects: []string{`spec: {charts: {repository: "https://charts.example.com", verify: {cosignPublicKey: PEM}}}`},
	},
	{
		message: "spec.charts.oci: write oci://, a host and a path in lower case, without a tag and without a slash at the end",
		accepts: []string{`spec: {charts: {oci: "oci://Registry.example.com:5000/a/b-c_d.e"}}`, `spec: {charts: {oci: "oci://localhost"}}`},
		rejects: []string{
			`spec: {charts: {oci: "https://registry.example.com/istio"}}`, `spec: {charts: {oci: "oci://registry.example.com/istio/"}}`,
			`spec: {charts: {oci: "oci://registry.example.com/istio:1.29.7"}}`, `spec: {charts: {oci: "oci://user:x@registry.example.com/istio"}}`,
		},
	},
	{
		message: "spec.charts.repository: must be an https or http URL with a host and without credentials; use pullSecretRef for credentials",
		accepts: []string{`spec: {charts: {repository: "http://charts.example.com:8080/istio"}}`},
		rejects: []string{
			`spec: {charts: {repository: "oci://registry.example.com"}}`, `spec: {charts: {repository: "https://"}}`,
			`spec: {charts: {repository: "https://user:x@charts.example.com"}}`, `spec: {charts: {repository: charts}}`,
		},
	},
	{
		message: "spec.charts.versionSuffix: write a dash, letters and digits, for example -solo",
		accepts: []string{
			`spec: {charts: {oci: "oci://registry.example.com", versionSuffix: -solo}}`, `spec: {charts: {oci: "oci://registry.example.com", versionSuffix: -tetrate-v0}}`,
		},
		rejects: []string{
			`spec: {charts: {oci: "oci://registry.example.com", versionSuffix: solo}}`, `spec: {charts: {oci: "oci://registry.example.com", versionSuffix: "-"}}`,
			`spec: {charts: {oci: "oci://registry.example.com", versionSuffix: -a/b}}`, `spec: {charts: {oci: "oci://registry.example.com", versionSuffix: +a}}`,
		},
	},
	{
		message: "spec.charts.proxy: must be an https or http URL with a host and without credentials",
		accepts: []string{`spec: {charts: {oci: "oci://registry.example.com", proxy: "http://proxy:3128"}}`},
		rejects: []string{
			`spec: {charts: {oci: "oci://registry.example.com", proxy: "socks5://proxy:1080"}}`,
			`spec: {charts: {oci: "oci://registry.example.com", proxy: "http://user:x@proxy:3128"}}`,
		},
	},
	{
		message: "spec.charts.archives: set exactly one of secretRef and configMapRef",
		accepts: []string{`spec: {charts: {archives: {configMapRef: {name: charts}}}}`},
		rejects: []string{
			`spec: {charts: {archives: {}}}`, `spec: {charts: {archives: {secretRef: {name: charts}, configMapRef: {name: charts}}}}`,
		},
	},
}

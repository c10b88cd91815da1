package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ChartDigests identify the charts of one release: `sha256:` and the SHA-256 of each packaged chart, in hex. This is the digest
// of the chart's layer in a registry, and the digest in the index of a chart repository.
type ChartDigests struct {
	// base is the digest of the base chart.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Base string `json:"base,omitempty"`
	// istiod is the digest of the istiod chart.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Istiod string `json:"istiod,omitempty"`
	// gateway is the digest of the gateway chart.
	// +optional
	// +kubebuilder:validation:MaxLength=71
	Gateway string `json:"gateway,omitempty"`
}

// Of is the digest of a chart by its name: `base`, `istiod` or `gateway`. Empty: the chart in the operator's image.
func (d ChartDigests) Of(chart string) string {
	switch chart {
	case "base":
		return d.Base
	case "istiod":
		return d.Istiod
	case "gateway":
		return d.Gateway
	}
	return ""
}

// All are the digests that are set.
func (d ChartDigests) All() []string {
	return slices.DeleteFunc([]string{d.Base, d.Istiod, d.Gateway}, func(s string) bool { return s == "" })
}

// IsZero reports whether the charts are those in the operator's image.
func (d ChartDigests) IsZero() bool { return d == ChartDigests{} }

// SecretTypeCharts is the type of a Secret with the keys `username` and `password` for a source of charts. The operator sends no other
// Secret with these keys to a server that the editor of a MeshInstallation names.
const SecretTypeCharts = "mesh.meshfleet.io/charts"

// Charts selects where the charts of spec.version are. Exactly one of oci, repository and archives is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.oci), has(self.repository), has(self.archives)].filter(x, x).size() == 1",message="spec.charts: set exactly one of oci, repository and archives"
// +kubebuilder:validation:XValidation:rule="!has(self.archives) || !(has(self.pullSecretRef) || has(self.caBundle) || has(self.proxy))",message="spec.charts: pullSecretRef, caBundle and proxy have no effect on archives; remove them"
// +kubebuilder:validation:XValidation:rule="!has(self.pullSecretRef) || !has(self.repository) || self.repository.startsWith('https://')",message="spec.charts.pullSecretRef: requires a repository with https, because the password must not be sent unencrypted"
// +kubebuilder:validation:XValidation:rule="has(self.oci) || !has(self.verify) || !has(self.verify.cosignPublicKey)",message="spec.charts.verify.cosignPublicKey: only a registry has signatures; use oci, or verify.digests"
type Charts struct {
	// oci is the path in an OCI registry below which the charts are, for example `oci://registry.example.com/istio/charts` for the
	// chart `oci://registry.example.com/istio/charts/istiod`. The tag of each chart is spec.version.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^oci://[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$')",message="spec.charts.oci: write oci://, a host and a path in lower case, without a tag and without a slash at the end"
	OCI string `json:"oci,omitempty"`
	// repository is the URL of a chart repository, in which `index.yaml` is.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != '' && !self.contains('@')",message="spec.charts.repository: must be an https or http URL with a host and without credentials; use pullSecretRef for credentials"
	Repository string `json:"repository,omitempty"`
	// archives is a Secret or a ConfigMap that contains the packaged charts (`.tgz`). The names of the keys have no meaning: the name
	// and version of a chart are read from the archive.
	// +optional
	Archives *ChartArchives `json:"archives,omitempty"`
	// versionSuffix is what the versions of the charts have behind spec.version, for example `-solo` for the charts `1.31.2-solo` of a
	// vendor. Default: nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*$')",message="spec.charts.versionSuffix: write a dash, letters and digits, for example -solo"
	VersionSuffix string `json:"versionSuffix,omitempty"`
	// pullSecretRef is a Secret with credentials: of the type `kubernetes.io/dockerconfigjson` (for oci), or of the type
	// `mesh.meshfleet.io/charts` with the keys `username` and `password`. Default: none.
	// +optional
	PullSecretRef *ObjectName `json:"pullSecretRef,omitempty"`
	// caBundle are certificates, PEM, of the authorities that sign the certificate of the registry or repository. The authorities of
	// the operator's image are trusted as well. Default: none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	CABundle string `json:"caBundle,omitempty"`
	// proxy is the URL of an HTTP proxy. Default: the environment of the operator.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != '' && !self.contains('@')",message="spec.charts.proxy: must be an https or http URL with a host and without credentials"
	Proxy string `json:"proxy,omitempty"`
	// verify configures which charts are accepted. Default: any.
	// +optional
	Verify *ChartVerification `json:"verify,omitempty"`
}

// ChartArchives identifies an object with packaged charts. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.configMapRef)",message="spec.charts.archives: set exactly one of secretRef and configMapRef"
type ChartArchives struct {
	// secretRef is a Secret.
	// +optional
	SecretRef *ObjectName `json:"secretRef,omitempty"`
	// configMapRef is a ConfigMap with the archives in `binaryData`.
	// +optional
	ConfigMapRef *ObjectName `json:"configMapRef,omitempty"`
}

// ObjectName identifies an object in the same namespace.
type ObjectName struct {
	// name is the name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ChartVerification configures which charts are accepted. A chart must pass all that is set.
type ChartVerification struct {
	// digests are the accepted digests of packaged charts, for example `sha256:9f86…`. A digest that is listed is also accepted in
	// place of the one that is pinned. Default: any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^sha256:[0-9a-f]{64}$`
	Digests []string `json:"digests,omitempty"`
	// cosignPublicKey is a public key, PEM. Each chart must have a signature by this key in its registry, as `cosign sign` makes it.
	// Default: no signature is needed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	CosignPublicKey string `json:"cosignPublicKey,omitempty"`
}

// PinnedCharts are charts that were fetched. The mesh uses these until spec.version or the source changes, whatever the source
// has later under the same version.
type PinnedCharts struct {
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// source is where the charts come from: the value of spec.charts.oci or spec.charts.repository, or `secret/` or `configmap/`
	// and a name; and spec.charts.versionSuffix, if it is set.
	// +required
	// +kubebuilder:validation:MaxLength=640
	Source string `json:"source"`
	// charts are the digests.
	// +required
	Charts ChartDigests `json:"charts"`
	// verifiedBy is the SHA-256 fingerprint (hex) of the cosign public key with which the signatures were verified. Empty: none was
	// asked for.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	VerifiedBy string `json:"verifiedBy,omitempty"`
	// pinnedAt is the time at which the charts were fetched for the first time.
	// +required
	PinnedAt metav1.Time `json:"pinnedAt"`
}

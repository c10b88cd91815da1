package trust

import (
	"cmp"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	defaultRootDuration         = 87600 * time.Hour
	defaultIntermediateDuration = 2160 * time.Hour
	defaultRenewBefore          = 720 * time.Hour
)

// IssueDeadline is how long cert-manager may take to issue a certificate before that is a failure.
const IssueDeadline = 5 * time.Minute

// Wanted are the cert-manager objects of an installation on the hub, in the order in which they can work: an issuer
// whose root does not exist yet, or a request to an issuer that is not ready, is put off by cert-manager for seconds.
type Wanted struct {
	// SelfSigned signs Root, and RootIssuer signs with it. All are nil with the user's own issuer.
	SelfSigned *cmv1.Issuer
	Root       *cmv1.Certificate
	RootIssuer *cmv1.Issuer
	// Intermediates are the members' signing certificates.
	Intermediates []cmv1.Certificate
}

// Plan says which cert-manager objects an installation needs. Members that are leaving are not in its spec any more.
func Plan(inst *meshv1alpha1.MeshInstallation, leaving ...string) Wanted {
	w := Wanted{}
	issuer := cmmeta.IssuerReference{Name: mesh.RootName(inst.Name), Kind: cmv1.IssuerKind, Group: cmv1.SchemeGroupVersion.Group}
	if ref := inst.Spec.Trust.Root.IssuerRef; ref != nil {
		issuer = cmmeta.IssuerReference{
			Name: ref.Name, Kind: cmp.Or(ref.Kind, cmv1.IssuerKind), Group: cmp.Or(ref.Group, cmv1.SchemeGroupVersion.Group),
		}
	} else {
		w.SelfSigned = &cmv1.Issuer{
			ObjectMeta: objectMeta(inst, mesh.SelfSignedIssuerName(inst.Name)),
			Spec:       cmv1.IssuerSpec{IssuerConfig: cmv1.IssuerConfig{SelfSigned: &cmv1.SelfSignedIssuer{}}},
		}
		w.Root = new(root(inst))
		w.RootIssuer = &cmv1.Issuer{
			ObjectMeta: objectMeta(inst, mesh.RootName(inst.Name)),
			Spec: cmv1.IssuerSpec{IssuerConfig: cmv1.IssuerConfig{
				CA: &cmv1.CAIssuer{SecretName: mesh.RootName(inst.Name)},
			}},
		}
	}
	for i := range inst.Spec.Members {
		w.Intermediates = append(w.Intermediates, intermediate(inst, inst.Spec.Members[i].Name, issuer))
	}
	for _, name := range leaving {
		w.Intermediates = append(w.Intermediates, intermediate(inst, name, issuer))
	}
	return w
}

func root(inst *meshv1alpha1.MeshInstallation) cmv1.Certificate {
	spec := meshv1alpha1.SelfSignedRoot{}
	if s := inst.Spec.Trust.Root.SelfSigned; s != nil {
		spec = *s
	}
	life := duration(spec.Duration, defaultRootDuration)
	c := certificate(inst, mesh.RootName(inst.Name), inst.Name+" root", life)
	// Renewal makes another root certificate of the same key, which members refuse: they keep the root that they have
	// until a rotation in which each trusts both. So it is put off as long as cert-manager allows.
	c.Spec.RenewBefore = &metav1.Duration{Duration: cmv1.MinimumRenewBefore}
	c.Spec.IssuerRef = cmmeta.IssuerReference{
		Name: mesh.SelfSignedIssuerName(inst.Name), Kind: cmv1.IssuerKind, Group: cmv1.SchemeGroupVersion.Group,
	}
	c.Spec.PrivateKey = &cmv1.CertificatePrivateKey{
		RotationPolicy: cmv1.RotationPolicyNever,
		Algorithm:      cmv1.PrivateKeyAlgorithm(cmp.Or(spec.Algorithm, meshv1alpha1.KeyAlgorithmECDSA)),
		Size:           int(spec.Size),
	}
	if c.Spec.PrivateKey.Size == 0 {
		c.Spec.PrivateKey.Size = map[cmv1.PrivateKeyAlgorithm]int{
			cmv1.ECDSAKeyAlgorithm: 256, cmv1.RSAKeyAlgorithm: 4096,
		}[c.Spec.PrivateKey.Algorithm]
	}
	return c
}

// IntermediateDuration is the lifetime of the intermediates of members.
func IntermediateDuration(inst *meshv1alpha1.MeshInstallation) time.Duration {
	return duration(inst.Spec.Trust.Intermediate.Duration, defaultIntermediateDuration)
}

func intermediate(inst *meshv1alpha1.MeshInstallation, member string, issuer cmmeta.IssuerReference) cmv1.Certificate {
	spec := inst.Spec.Trust.Intermediate
	c := certificate(inst, mesh.CASecretName(inst.Name, member), member+" intermediate of "+inst.Name, IntermediateDuration(inst))
	c.Labels[meshv1alpha1.LabelMember] = member
	c.Spec.SecretTemplate.Labels[meshv1alpha1.LabelMember] = member
	c.Spec.RenewBefore = &metav1.Duration{Duration: duration(spec.RenewBefore, defaultRenewBefore)}
	c.Spec.IssuerRef = issuer
	c.Spec.PrivateKey = &cmv1.CertificatePrivateKey{
		RotationPolicy: cmv1.RotationPolicyAlways, Algorithm: cmv1.ECDSAKeyAlgorithm, Size: 256,
	}
	return c
}

func certificate(inst *meshv1alpha1.MeshInstallation, name, subject string, life time.Duration) cmv1.Certificate {
	return cmv1.Certificate{ObjectMeta: objectMeta(inst, name), Spec: cmv1.CertificateSpec{
		SecretName:     name,
		SecretTemplate: &cmv1.CertificateSecretTemplate{Labels: map[string]string{meshv1alpha1.LabelInstallation: inst.Name}},
		CommonName:     mesh.Cut(subject, commonNameBytes),
		IsCA:           true,
		Duration:       &metav1.Duration{Duration: life},
		Usages: []cmv1.KeyUsage{
			cmv1.UsageCertSign, cmv1.UsageCRLSign, cmv1.UsageDigitalSignature,
		},
	}}
}

// commonNameBytes is what X.509 allows for a common name.
const commonNameBytes = 64

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration == 0 {
		return otherwise
	}
	return d.Duration
}

func objectMeta(inst *meshv1alpha1.MeshInstallation, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: inst.Namespace, Labels: map[string]string{meshv1alpha1.LabelInstallation: inst.Name}}
}

// isCurrent says whether a Certificate of an installation is as wanted. It changes neither.
func isCurrent(have, want *cmv1.Certificate, inst *meshv1alpha1.MeshInstallation) bool {
	if have == nil || !metav1.IsControlledBy(have, inst) {
		return false
	}
	for k, v := range want.Labels {
		if have.Labels[k] != v {
			return false
		}
	}
	spec := have.Spec
	if spec.PrivateKey != nil {
		spec.PrivateKey = new(*spec.PrivateKey)
	}
	Set(&spec, want.Spec)
	return equality.Semantic.DeepEqual(spec, have.Spec)
}

// Set writes the wanted fields of a Certificate and leaves those that cert-manager or the API server has defaulted.
func Set(have *cmv1.CertificateSpec, want cmv1.CertificateSpec) {
	have.SecretName, have.SecretTemplate, have.CommonName = want.SecretName, want.SecretTemplate, want.CommonName
	have.IsCA, have.Duration, have.RenewBefore, have.Usages = want.IsCA, want.Duration, want.RenewBefore, want.Usages
	have.IssuerRef = want.IssuerRef
	if have.PrivateKey == nil {
		have.PrivateKey = &cmv1.CertificatePrivateKey{}
	}
	have.PrivateKey.RotationPolicy, have.PrivateKey.Algorithm, have.PrivateKey.Size =
		want.PrivateKey.RotationPolicy, want.PrivateKey.Algorithm, want.PrivateKey.Size
}

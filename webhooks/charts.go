package webhooks

import (
	"crypto/x509"
	"encoding/pem"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/meshfleet/meshfleet/internal/pinning"
)

// checkCharts refuses sources that the operator does not allow, and PEM that cannot be read.
func checkCharts(c *change, sources pinning.Policy) field.ErrorList {
	source := c.inst.Spec.Charts
	if source == nil || c.old != nil && equality.Semantic.DeepEqual(c.old.Spec.Charts, source) {
		return nil
	}
	path := field.NewPath("spec", "charts")
	var errs field.ErrorList
	if problem := sources.Refusal(source); problem != "" {
		errs = append(errs, field.Forbidden(path, problem))
	}
	if source.CABundle != "" {
		if problem := problemWithCertificates([]byte(source.CABundle), "the registry or repository"); problem != "" {
			errs = append(errs, field.Invalid(path.Child("caBundle"), field.OmitValueType{}, problem))
		}
	}
	if source.Verify != nil && source.Verify.CosignPublicKey != "" {
		block, _ := pem.Decode([]byte(source.Verify.CosignPublicKey))
		if block == nil {
			errs = append(errs, field.Invalid(path.Child("verify", "cosignPublicKey"), field.OmitValueType{}, "has no PEM block; write the content of cosign.pub"))
		} else if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			errs = append(errs, field.Invalid(path.Child("verify", "cosignPublicKey"), field.OmitValueType{}, "is no public key: "+err.Error()+"; write the content of cosign.pub"))
		}
	}
	return errs
}

package webhooks

import (
	"errors"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// checkValues checks the values that have changed, or all when the version has: another release knows others.
func (v *validator) checkValues(c *change) field.ErrorList {
	spec := c.inst.Spec
	var oldControlPlane, oldGateway *apiextensionsv1.JSON
	if c.old != nil {
		oldControlPlane, oldGateway = c.old.Spec.ControlPlane.Values, c.old.Spec.EastWestGateway.Values
	}
	var errs field.ErrorList
	check := func(path *field.Path, chart string, before, now *apiextensionsv1.JSON) {
		if c.isVersionChanged() || !equality.Semantic.DeepEqual(before, now) {
			errs = append(errs, v.checkChart(path, spec.Version, chart, now)...)
		}
	}
	check(field.NewPath("spec", "controlPlane", "values"), charts.Istiod, oldControlPlane, spec.ControlPlane.Values)
	for i := range spec.Members {
		m := &spec.Members[i]
		var old *apiextensionsv1.JSON
		if before := c.before(m.Name); before != nil {
			old = before.Values
		}
		check(memberPath(m.Name).Child("values"), charts.Istiod, old, m.Values)
	}
	check(field.NewPath("spec", "eastWestGateway", "values"), charts.Gateway, oldGateway, spec.EastWestGateway.Values)
	return errs
}

func (v *validator) checkChart(path *field.Path, version, chart string, raw *apiextensionsv1.JSON) field.ErrorList {
	if raw == nil {
		return nil
	}
	values, err := mesh.Values(raw)
	if err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a map of the chart's values")}
	}
	return valueErrors(path, v.checker.CheckValues(version, chart, values))
}

// valueErrors puts each error at its field. Values themselves may be secret and are not repeated.
func valueErrors(path *field.Path, err error) field.ErrorList {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs field.ErrorList
		for _, one := range joined.Unwrap() {
			errs = append(errs, valueErrors(path, one)...)
		}
		return errs
	}
	if value, ok := errors.AsType[*charts.ValueError](err); ok {
		for key := range strings.SplitSeq(value.Path, ".") {
			path = path.Child(key)
		}
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, value.Problem)}
	}
	return field.ErrorList{field.InternalError(path, err)}
}

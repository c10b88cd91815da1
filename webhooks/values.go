package webhooks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
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
		if c.isVersionChanged() || c.isSourceChanged() || !equality.Semantic.DeepEqual(before, now) {
			errs = append(errs, v.checkChart(path, c.inst, chart, now)...)
		}
	}
	check(field.NewPath("spec", "controlPlane", "values"), charts.Istiod, oldControlPlane, spec.ControlPlane.Values)
	for i := range spec.Members {
		m := &spec.Members[i]
		var before, beforeGateway *apiextensionsv1.JSON
		if was := c.before(m.Name); was != nil {
			before, beforeGateway = was.Values, ownGatewayValues(was)
		}
		check(memberPath(m.Name).Child("values"), charts.Istiod, before, m.Values)
		check(memberPath(m.Name).Child("eastWestGateway", "values"), charts.Gateway, beforeGateway, ownGatewayValues(m))
	}
	check(field.NewPath("spec", "eastWestGateway", "values"), charts.Gateway, oldGateway, spec.EastWestGateway.Values)
	return append(errs, checkMerged(c)...)
}

// ownGatewayValues are the values of the gateway chart for one member only.
func ownGatewayValues(m *meshv1alpha1.Member) *apiextensionsv1.JSON {
	if m.EastWestGateway == nil {
		return nil
	}
	return m.EastWestGateway.Values
}

// checkMerged checks what follows from the values of a member together with those of all: its namespace must be read by its
// istiod, and all members must have one DNS domain, because istiod names the services of all clusters by its own.
func checkMerged(c *change) field.ErrorList {
	spec := &c.inst.Spec
	isSharedSame := c.old != nil && equality.Semantic.DeepEqual(c.old.Spec.ControlPlane.Values, spec.ControlPlane.Values)
	var errs field.ErrorList
	first, domain := "", ""
	for i := range spec.Members {
		m := &spec.Members[i]
		merged, err := mergedValues(spec.ControlPlane.Values, m)
		if err != nil {
			// Values that are no map have an error of their own.
			continue
		}
		if i == 0 || first == "" {
			first, domain = m.Name, mesh.ClusterDomain(merged)
		}
		before := c.before(m.Name)
		if isSharedSame && before != nil && equality.Semantic.DeepEqual(before.Values, m.Values) {
			continue
		}
		if d := mesh.ClusterDomain(merged); d != domain {
			errs = append(errs, field.Invalid(memberPath(m.Name).Child("values", "global", "proxy", "clusterDomain"), d, fmt.Sprintf(
				"member %q has %s; istiod names the services of all clusters by its own domain, so all members need the same: set it in spec.controlPlane.values",
				first, domain)))
		}
		if err := checkSelectors(spec, m, merged); err != nil && !slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Field == err.Field }) {
			errs = append(errs, err)
		}
	}
	return errs
}

func mergedValues(shared *apiextensionsv1.JSON, m *meshv1alpha1.Member) (map[string]any, error) {
	merged, err := mesh.MemberRevision(meshv1alpha1.Revision{Values: shared}, &meshv1alpha1.Member{Name: m.Name, Values: m.Values})
	if err != nil {
		return nil, err
	}
	return mesh.Values(merged.Values)
}

// checkSelectors refuses discoverySelectors that cannot select the namespace of the control plane, by the labels that it has in
// any case. Those that all members share are refused once.
func checkSelectors(spec *meshv1alpha1.MeshInstallationSpec, m *meshv1alpha1.Member, merged map[string]any) *field.Error {
	path := field.NewPath("spec", "controlPlane", "values", "meshConfig", "discoverySelectors")
	if own, err := mesh.Values(m.Values); err == nil {
		if s, err := istio.ReadDiscoverySelectors(own); err != nil || len(s) > 0 {
			path = memberPath(m.Name).Child("values", "meshConfig", "discoverySelectors")
		}
	}
	selectors, err := istio.ReadDiscoverySelectors(merged)
	if err != nil {
		// The check of the chart's values says so, in other words.
		return nil
	}
	labels := map[string]string{
		corev1.LabelMetadataName: spec.ControlPlaneNamespace, charts.NetworkLabel: cmp.Or(m.Network, m.Name),
	}
	if !selectors.MustLeaveOut(labels) {
		return nil
	}
	return field.Invalid(path, field.OmitValueType{}, fmt.Sprintf(
		"in member %q the selectors leave out namespace %s of the control plane, where istiod must publish the root; add one with matchLabels %s: %s",
		m.Name, spec.ControlPlaneNamespace, corev1.LabelMetadataName, spec.ControlPlaneNamespace))
}

func (v *validator) checkChart(path *field.Path, inst *meshv1alpha1.MeshInstallation, chart string, raw *apiextensionsv1.JSON) field.ErrorList {
	if raw == nil {
		return nil
	}
	values, err := mesh.Values(raw)
	if err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a map of the chart's values")}
	}
	digests, isReady := upgrade.ChartsOf(inst)
	_, isPackaged := istioversion.Packaged().Lookup(inst.Spec.Version)
	if !isReady && (inst.Spec.Charts != nil || v.sources.Default != "" && !isPackaged) {
		// The values are checked when the charts are fetched.
		return nil
	}
	version := inst.Spec.Version
	err = v.checker.CheckValues(charts.Ref{Chart: chart, Version: version, Digest: digests.Of(chart)}, values)
	switch {
	case errors.Is(err, charts.ErrNoChart) && !digests.IsZero(), errors.Is(err, charts.ErrUnreadable):
		return nil
	case errors.Is(err, charts.ErrNoChart):
		return field.ErrorList{field.Forbidden(path, fmt.Sprintf("this operator has no charts of Istio %s and cannot check its values; set spec.charts, or change them "+
			"together with spec.version, to one of %s", version, strings.Join(istioversion.Supported(), ", ")))}
	}
	return valueErrors(path, err)
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

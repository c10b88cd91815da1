package eastwest

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

// setGateway is the only set of a gateway's rendering: its objects, with a Service that is not announced.
const setGateway = "gateway"

// inputs are what a gateway's rendering is made from. A new field must be left out when it is empty, see rendering.Source.
type inputs struct {
	Revision    string                          `json:"revision"`
	Version     string                          `json:"version"`
	Key         string                          `json:"key"`
	Platform    map[string]any                  `json:"platform,omitempty"`
	Network     string                          `json:"network"`
	Namespace   string                          `json:"namespace"`
	Annotations map[string]string               `json:"annotations,omitempty"`
	Values      map[string]any                  `json:"values,omitempty"`
	Replacement meshv1alpha1.GatewayReplacement `json:"replacement"`
	Charts      meshv1alpha1.ChartDigests       `json:"charts,omitzero"`
}

func inputsOf(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (inputs, error) {
	values, err := mesh.Values(r.Gateway.Values)
	if err != nil {
		return inputs{}, err
	}
	platform, err := platformValues(m, r.Name)
	return inputs{
		Revision: r.Name, Version: r.Version, Key: mesh.GatewayKey(m, r.Name), Platform: platform, Network: m.Network,
		Namespace: m.ControlPlaneNamespace, Annotations: r.Gateway.Annotations, Values: values, Replacement: r.Gateway.Replacement, Charts: r.Charts,
	}, err
}

// component is the gateway of a revision, by a rendering of it.
func component(
	m *meshv1alpha1.MeshMemberSpec, revision string, announce bool, of func(rendering.Source) (*rendering.Kept, error), lib charts.Renderer,
) (apply.Component, error) {
	c := apply.Component{Name: Prefix + mesh.GatewayKey(m, revision)}
	i := slices.IndexFunc(m.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == revision })
	if i < 0 {
		return c, fmt.Errorf("revision %q of the gateway is not among the member's revisions", revision)
	}
	r := &m.Revisions[i]
	inputs, err := inputsOf(m, r)
	if err != nil {
		return c, err
	}
	kept, err := of(rendering.Source{
		Component: c.Name, Version: r.Version, IsFetched: !r.Charts.IsZero(), Ordered: r.Rendering, Inputs: inputs,
		// One that is replaced in place has the same name with every revision.
		KeepsFormer: inputs.Key == mesh.PinnedGateway,
		Render:      func() (rendering.Sets, error) { return Render(lib, m, r) },
	})
	if err != nil {
		return c, err
	}
	if c.Objects, err = kept.Objects(setGateway); err != nil {
		return c, err
	}
	c.Renderings = kept.Renderings
	for _, o := range c.Objects {
		switch {
		case o.GetKind() == "Service" && announce:
			labels := o.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels[charts.NetworkLabel] = m.Network
			o.SetLabels(labels)
		case o.GetKind() == "HorizontalPodAutoscaler":
			if err := scale(o, m); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// scale sets the bounds of an autoscaler. They can be changed in place, so they are no part of a rendering.
func scale(o *unstructured.Unstructured, m *meshv1alpha1.MeshMemberSpec) error {
	least, most := replicas(m)
	return errors.Join(unstructured.SetNestedField(o.Object, least, "spec", "minReplicas"), unstructured.SetNestedField(o.Object, most, "spec", "maxReplicas"))
}

// Render renders the gateway of a revision, with the default bounds of its autoscaler.
func Render(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (rendering.Sets, error) {
	plain := *m
	plain.GatewayReplicas = meshv1alpha1.GatewayReplicas{}
	values, err := GatewayValues(&plain, r.Name)
	if err != nil {
		return nil, err
	}
	objects, err := lib.Render(charts.Request{
		Version: r.Version, Chart: charts.Gateway, Digest: r.Charts.Gateway, Release: mesh.GatewayName(mesh.GatewayKey(m, r.Name)),
		Namespace: m.ControlPlaneNamespace, Values: values,
	})
	return rendering.Sets{setGateway: objects}, err
}

package bundle

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/operator-framework/api/pkg/lib/version"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// The annotations that are generated.
const (
	annotationExamples     = "alm-examples"
	annotationImage        = "containerImage"
	annotationCreated      = "createdAt"
	annotationSkipRange    = operatorsv1alpha1.SkipRangeAnnotationKey
	annotationDisconnected = "features.operators.openshift.io/disconnected"
	annotationNamespace    = "operatorframework.io/suggested-namespace"
	annotationTemplate     = "operatorframework.io/suggested-namespace-template"
)

// complete adds what is generated to the hand-written ClusterServiceVersion. It returns the images that are left out of relatedImages.
func complete(p *parts, o Options) ([]images.Reference, error) {
	csv := p.csv
	csv.Name = releases.Name(o.Version)
	csv.Spec.Version = version.OperatorVersion{Version: o.Version}
	// The narrowest channel: catalogs that are made from this field have no pre-releases in the stable one.
	channels := releases.Channels(o.Version)
	if before, found := releases.Before(o.History.Versions(), o.Version, channels[len(channels)-1]); found {
		csv.Spec.Replaces = releases.Name(before)
	}
	image, err := operatorImage(p, o.Image)
	if err != nil {
		return nil, err
	}
	if err := adapt(p.deployment, image.String(), p.webhooks.secret, csv.Labels); err != nil {
		return nil, err
	}
	strategy := &csv.Spec.InstallStrategy.StrategySpec
	install(p.deployment, strategy)
	p.permissions.install(strategy)
	if csv.Spec.WebhookDefinitions, err = p.webhooks.describe(p.deployment); err != nil {
		return nil, err
	}
	if err := ownAll(csv.Spec.CustomResourceDefinitions.Owned, p.definitions); err != nil {
		return nil, err
	}
	icon, err := os.ReadFile(filepath.Join(o.Root, "config", "manifests", "bases", "meshfleet.svg"))
	if err != nil {
		return nil, err
	}
	csv.Spec.Icon = []operatorsv1alpha1.Icon{{Data: base64.StdEncoding.EncodeToString(icon), MediaType: "image/svg+xml"}}
	var leftOut []images.Reference
	csv.Spec.RelatedImages, leftOut = related(image, o.Images)
	return leftOut, annotate(p, o, image, len(leftOut) == 0)
}

// operatorImage is the image of the Deployment, or another one.
func operatorImage(p *parts, other string) (images.Reference, error) {
	manager, err := manifests.Manager(p.deployment)
	if err != nil {
		return images.Reference{}, err
	}
	if other == "" {
		other = manager.Image
	}
	return images.Parse(other)
}

// related returns the images of the operator and of its operands that have a digest, and those that have none.
func related(operator images.Reference, operands []images.Image) (pinned []operatorsv1alpha1.RelatedImage, leftOut []images.Reference) {
	add := func(name string, image images.Reference) {
		if image.Digest == "" {
			leftOut = append(leftOut, image)
			return
		}
		pinned = append(pinned, operatorsv1alpha1.RelatedImage{Name: name, Image: image.String()})
	}
	add(releases.Package, operator)
	for _, image := range operands {
		add(image.Name, image.Reference())
	}
	return pinned, leftOut
}

// ownAll completes the entries of the owned kinds. Each definition must have an entry, and each entry a definition.
func ownAll(owned []operatorsv1alpha1.CRDDescription, definitions []*unstructured.Unstructured) error {
	byName := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, u := range definitions {
		definition, err := manifests.Decode[apiextensionsv1.CustomResourceDefinition](u)
		if err != nil {
			return err
		}
		byName[definition.Name] = definition
	}
	for i := range owned {
		definition, found := byName[owned[i].Name]
		if !found {
			return fmt.Errorf("config/manifests owns %s, which config/crd does not have", owned[i].Name)
		}
		if err := own(&owned[i], definition); err != nil {
			return err
		}
		delete(byName, owned[i].Name)
	}
	if len(byName) > 0 {
		return fmt.Errorf("config/manifests has no entry for %v below customresourcedefinitions.owned", slices.Sorted(maps.Keys(byName)))
	}
	return nil
}

// annotate adds the generated annotations. An operator can be installed without access to registries of the internet only if the bundle has all
// images, so that they can be mirrored.
func annotate(p *parts, o Options, image images.Reference, hasAllImages bool) error {
	all, err := examples(o.Root)
	if err != nil {
		return err
	}
	text, err := examplesAnnotation(all, p.csv.Spec.CustomResourceDefinitions.Owned)
	if err != nil {
		return err
	}
	template, err := namespaceTemplate(p.namespace)
	if err != nil {
		return err
	}
	generated := map[string]string{
		annotationExamples: text, annotationImage: image.String(), annotationDisconnected: strconv.FormatBool(hasAllImages),
		annotationNamespace: p.namespace.Name, annotationTemplate: template,
	}
	if skipRange := o.History.SkipRange(o.Version); skipRange != "" {
		generated[annotationSkipRange] = skipRange
	}
	if !o.Created.IsZero() {
		generated[annotationCreated] = o.Created.UTC().Format(time.RFC3339)
	}
	for name, value := range generated {
		if _, isWritten := p.csv.Annotations[name]; isWritten {
			return fmt.Errorf("the annotation %s is generated: take it out of config/manifests/bases", name)
		}
		p.csv.Annotations[name] = value
	}
	return nil
}

// namespaceTemplate is the operator's Namespace as consoles create it.
func namespaceTemplate(namespace *corev1.Namespace) (string, error) {
	content, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace.Name, "labels": namespace.Labels},
	})
	return string(content), err
}

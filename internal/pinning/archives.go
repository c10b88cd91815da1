package pinning

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

const (
	// archiveKey is the key of the packaged chart in its ConfigMap.
	archiveKey = "chart.tgz"
	// archiveNameLength is the number of digits of a digest in the name of its ConfigMap.
	archiveNameLength = 40
	// youngest is the age below which an archive stays although nothing names it yet.
	youngest = 10 * time.Minute
)

// Archives keeps packaged charts in immutable ConfigMaps on the hub, one for each digest. All meshes share them.
type Archives struct {
	// Reader reads the hub without a cache: charts are read a few times, and are large.
	Reader client.Reader
	// Writer writes the hub.
	Writer client.Writer
	// Namespace of the ConfigMaps.
	Namespace string
}

var _ charts.Archives = Archives{}

func archiveName(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return "meshfleet-chart-" + hex[:min(len(hex), archiveNameLength)]
}

// Archive is the packaged chart of a digest, as it is kept. Error: charts.ErrNoChart when it is not.
func (a Archives) Archive(ctx context.Context, digest string) ([]byte, error) {
	cm := &corev1.ConfigMap{}
	err := a.Reader.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: archiveName(digest)}, cm)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("ConfigMap %s/%s does not exist: %w", a.Namespace, archiveName(digest), charts.ErrNoChart)
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", a.Namespace, archiveName(digest), err)
	}
	return cm.BinaryData[archiveKey], nil
}

// Has says whether the packaged charts of all these digests are kept, unchanged.
func (a Archives) Has(ctx context.Context, digests ...string) (bool, error) {
	for _, digest := range digests {
		data, err := a.Archive(ctx, digest)
		if err != nil {
			return false, ignoreNoChart(err)
		}
		if charts.DigestOf(data) != digest {
			return false, nil
		}
	}
	return true, nil
}

// keep stores a packaged chart. One that is there and damaged is replaced.
func (a Archives) keep(ctx context.Context, archive fetch.Archive) error {
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: archiveName(archive.Digest), Namespace: a.Namespace,
			Labels:      map[string]string{meshv1alpha1.LabelChart: archive.Name},
			Annotations: map[string]string{meshv1alpha1.AnnotationChartVersion: archive.Version, meshv1alpha1.AnnotationChartDigest: archive.Digest},
		},
		Immutable: new(true), BinaryData: map[string][]byte{archiveKey: archive.Data},
	}
	isKept, err := a.Has(ctx, archive.Digest)
	if err != nil || isKept {
		return err
	}
	if err := a.Writer.Delete(ctx, cm.DeepCopy()); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the damaged ConfigMap %s/%s: %w", cm.Namespace, cm.Name, err)
	}
	err = a.Writer.Create(ctx, cm)
	if apierrors.IsAlreadyExists(err) {
		// Another mesh keeps the same charts.
		if isKept, err := a.Has(ctx, archive.Digest); err != nil || isKept {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("keep chart %s %s in ConfigMap %s/%s: %w", archive.Name, archive.Version, cm.Namespace, cm.Name, err)
	}
	return nil
}

// sweep deletes the packaged charts that nothing names.
func (a Archives) sweep(ctx context.Context, isNamed func(digest string) bool, now time.Time) error {
	found := &metav1.PartialObjectMetadataList{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err := a.Reader.List(ctx, found, client.InNamespace(a.Namespace), client.HasLabels{meshv1alpha1.LabelChart}); err != nil {
		return fmt.Errorf("list packaged charts: %w", err)
	}
	for i := range found.Items {
		o := &found.Items[i]
		if isNamed(o.Annotations[meshv1alpha1.AnnotationChartDigest]) || now.Sub(o.CreationTimestamp.Time) < youngest {
			continue
		}
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace}}
		if err := a.Writer.Delete(ctx, cm, client.Preconditions{UID: &o.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete ConfigMap %s/%s: %w", o.Namespace, o.Name, err)
		}
	}
	return nil
}

package member

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// claimedRootKey is the key of a claim under which it records the mesh's root.
const claimedRootKey = "root"

var errForeignRoot = errors.New("the member has another root of trust")

// cacerts puts the member's signing certificate in place. Precondition: the claim. The member is given the pinned root and
// no other: workloads of two roots would not trust each other. While the hub cannot give what is wanted, a member that
// has a certificate of that root goes on with it.
func (r *Reconciler) cacerts(ctx context.Context, s *scope) phase.Result {
	have, ours, err := r.presentRoot(ctx, s)
	if err != nil {
		return outcome.StalledOr(err, errForeignRoot, meshv1alpha1.ReasonForeignRoot)
	}
	pinned := s.member.Spec.PinnedRoot
	if len(pinned) == 0 {
		if s.hasCertificate = ours; ours {
			return phase.Complete(meshv1alpha1.ReasonReady, "the signing certificate is kept until the mesh's root is pinned")
		}
		return r.whatHubLacks(ctx, s, phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate, "the mesh's root is not known yet", 0))
	}
	if err := sameRoot(s, have, pinned); err != nil {
		return outcome.Stalled(meshv1alpha1.ReasonForeignRoot, err)
	}
	s.hasCertificate = have != nil
	secret := &corev1.Secret{}
	err = r.Client.Get(ctx, client.ObjectKey{Namespace: s.member.Namespace, Name: s.member.Spec.CASecret}, secret)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err)
	}
	bundle, err := trust.ReadBundle(secret, s.now)
	if errors.Is(err, trust.ErrIncomplete) {
		return r.whatHubLacks(ctx, s, phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate,
			fmt.Sprintf("cert-manager has not issued Certificate %q yet", s.member.Spec.CASecret), 0))
	}
	if err != nil {
		return outcome.Stalled(meshv1alpha1.ReasonWaitingForCertificate, fmt.Errorf("secret %q: %w", s.member.Spec.CASecret, err))
	}
	issued, err := trust.Fingerprints(bundle.Roots)
	if err != nil {
		return outcome.Failed(err)
	}
	if !slices.Equal(issued, sorted(pinned)) {
		return outcome.Stalled(meshv1alpha1.ReasonRootChanged, fmt.Errorf("%w: Secret %q is signed under root %s, the mesh has %s; it is not given "+
			"to the member. The condition TrustRootReady of MeshInstallation %q has the cure",
			trust.ErrRootChanged, s.member.Spec.CASecret, trust.Short(issued), trust.Short(pinned), s.member.Spec.Installation))
	}
	if err := r.applyCacerts(ctx, s, bundle); err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "the signing certificate is in place")
}

func (r *Reconciler) applyCacerts(ctx context.Context, s *scope, bundle *trust.Bundle) error {
	s.member.Status.Trust.IntermediateNotAfter = &metav1.Time{Time: bundle.NotAfter}
	metrics.SetCertificateExpiry(s.key, bundle.NotAfter)
	data := map[string]any{}
	for k, v := range bundle.Cacerts() {
		data[k] = base64.StdEncoding.EncodeToString(v)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeOpaque),
		"metadata": map[string]any{"name": cacertsName, "namespace": s.namespace()},
		"data":     data,
	}}
	err := r.apply(ctx, s, apply.Component{Name: trustComponent, Objects: []*unstructured.Unstructured{object}})
	s.hasCertificate = err == nil
	return err
}

// whatHubLacks says why no certificate comes: what the installation reports of the root, or else what the member waits for.
func (r *Reconciler) whatHubLacks(ctx context.Context, s *scope, otherwise phase.Result) phase.Result {
	inst := &meshv1alpha1.MeshInstallation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: s.member.Namespace, Name: s.member.Spec.Installation}, inst)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err)
	}
	c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionTrustRootReady)
	if c != nil && c.Status == metav1.ConditionFalse {
		switch c.Reason {
		case meshv1alpha1.ReasonRootMissing, meshv1alpha1.ReasonRootChanged, meshv1alpha1.ReasonForeignRoot:
			return phase.Waiting(c.Reason, c.Message, outcome.Recheck)
		}
	}
	return otherwise.Overdue(s.member.CreationTimestamp.Time, s.now, trust.IssueDeadline, meshv1alpha1.ReasonDeadlineExceeded)
}

// presentRoot is the root of the Secret `cacerts` in the member, nil if there is no such Secret, and whether the Secret is ours.
func (r *Reconciler) presentRoot(ctx context.Context, s *scope) (root []string, ours bool, err error) {
	existing := &corev1.Secret{}
	err = s.remote.Get(ctx, client.ObjectKey{Namespace: s.namespace(), Name: cacertsName}, existing)
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read Secret %q: %w", cacertsName, err)
	}
	text := existing.Data["root-cert.pem"]
	if len(text) == 0 {
		text = existing.Data["ca.crt"]
	}
	root, err = trust.Fingerprints(text)
	if err != nil {
		return nil, false, fmt.Errorf("%w: the root in Secret %s/%s cannot be read (%w); delete that Secret if nothing uses it",
			errForeignRoot, s.namespace(), cacertsName, err)
	}
	return root, existing.Labels[meshv1alpha1.LabelInstallation] == s.owner(), nil
}

// sameRoot refuses a member that has another root than the pinned one, in its `cacerts` or, if that Secret is gone, in what
// its istiod was last seen to hand out.
func sameRoot(s *scope, have, pinned []string) error {
	served := s.member.Status.Trust.RootFingerprints
	switch {
	case have == nil && (len(served) == 0 || slices.Equal(sorted(served), sorted(pinned))), slices.Equal(have, sorted(pinned)):
		return nil
	case have == nil:
		return fmt.Errorf("%w: its istiod hands out root %s, the mesh has %s, and Secret %s/%s is gone; another root would cut its workloads "+
			"off each other: restore that Secret, or take the member out of spec.members and add it again when it is gone",
			errForeignRoot, trust.Short(served), trust.Short(pinned), s.namespace(), cacertsName)
	case len(served) > 0:
		return fmt.Errorf("%w: Secret %s/%s has root %s, which its workloads trust, the mesh has %s; do not delete that Secret: take the "+
			"member out of spec.members, and add it again when it is gone",
			errForeignRoot, s.namespace(), cacertsName, trust.Short(have), trust.Short(pinned))
	}
	return fmt.Errorf("%w: Secret %s/%s has root %s, the mesh has %s; delete that Secret if nothing in the cluster uses it, or take the "+
		"cluster out of spec.members", errForeignRoot, s.namespace(), cacertsName, trust.Short(have), trust.Short(pinned))
}

// claimedRoot finds the root that the member belongs to: as its claim records it or, if a former release made the claim, in
// the `cacerts` that we made. Precondition: the claim has been read.
func (r *Reconciler) claimedRoot(ctx context.Context, s *scope, mine bool) (string, error) {
	if recorded := s.claimed[claimedRootKey]; recorded != "" || !mine {
		return recorded, nil
	}
	have, ours, err := r.presentRoot(ctx, s)
	if err != nil && !errors.Is(err, errForeignRoot) {
		return "", err
	}
	if !ours {
		return "", nil
	}
	return mesh.JoinRoot(have), nil
}

// isFormerHubs says whether a claim that is refused only has another hub: this one may have taken its place, and must not
// have another root made before it is told.
func (r *Reconciler) isFormerHubs(s *scope) bool {
	own := r.claimData(s)
	return s.claimed["installation"] == own["installation"] && s.claimed["member"] == own["member"]
}

// holdsRoot refuses a member that belongs to another root than the pinned one, before anything is written there, and returns
// what its claim is to record.
func (r *Reconciler) holdsRoot(ctx context.Context, s *scope, mine bool) (string, error) {
	found, err := r.claimedRoot(ctx, s, mine)
	if err != nil {
		return "", err
	}
	s.member.Status.Trust.ClaimedRoot = found
	if found == "" {
		s.member.Status.Trust.ClaimedRoot = mesh.NoRoot
	}
	pinned := mesh.JoinRoot(s.member.Spec.PinnedRoot)
	if found == "" || pinned == "" || found == pinned {
		return cmp.Or(pinned, found), nil
	}
	return "", fmt.Errorf("%w: ConfigMap %s/%s records root %s, the mesh has %s; give the hub the former root (docs/backup.md). If the cluster "+
		"is to start anew, take it out of spec.members and add it again when it is gone",
		errForeignRoot, s.namespace(), claimName, trust.Short(strings.Split(found, ",")), trust.Short(s.member.Spec.PinnedRoot))
}

func sorted(fingerprints []string) []string { return slices.Sorted(slices.Values(fingerprints)) }

package trust

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// PresentRoot is the root of the Secret `cacerts` in the member, nil if there is no such Secret, and whether the Secret is ours.
func PresentRoot(ctx context.Context, pass *member.Pass) (root []string, ours bool, err error) {
	existing := &corev1.Secret{}
	err = pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: cacertsName}, existing)
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
	root, err = Fingerprints(text)
	if err != nil {
		return nil, false, fmt.Errorf("%w: the root in Secret %s/%s cannot be read (%w); %s",
			mesh.ErrForeignRoot, pass.Namespace(), cacertsName, err, unreadableCure(pass))
	}
	return root, existing.Labels[meshv1alpha1.LabelInstallation] == pass.Owner(), nil
}

// unreadableCure is what to do about a Secret that cannot be read. It may be deleted where the one that takes its place has the root
// that workloads trust.
func unreadableCure(pass *member.Pass) string {
	served, pinned := pass.Object.Status.Trust.RootFingerprints, pass.Object.Spec.PinnedRoot
	switch {
	case !mesh.HasServed(pass.Object):
		return "delete that Secret if nothing in the cluster uses it"
	case len(served) > 0 && slices.Equal(sorted(served), sorted(pinned)):
		return "delete that Secret: the operator writes it again with the same root"
	}
	return "restore that Secret, because workloads trust the root that it had; do not delete it"
}

// servedRoot is the root that the member's istiod hands out: as it was last seen or, if the status does not say although the member has
// served, as istiod has published it. What an istiod has left behind that was removed does not count.
func servedRoot(ctx context.Context, pass *member.Pass) ([]string, error) {
	if known := pass.Object.Status.Trust.RootFingerprints; len(known) > 0 || !mesh.HasServed(pass.Object) {
		return known, nil
	}
	cm := &corev1.ConfigMap{}
	err := pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: rootConfigMap}, cm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %q: %w", rootConfigMap, err)
	}
	served, err := Fingerprints([]byte(cm.Data["root-cert.pem"]))
	if err != nil {
		return nil, fmt.Errorf("root in ConfigMap %q: %w", rootConfigMap, err)
	}
	return served, nil
}

// sameRoot refuses a member that has another root than the pinned one, in its `cacerts` or, if that Secret is gone, in what
// its istiod hands out.
func sameRoot(pass *member.Pass, have, served, pinned []string) error {
	switch {
	case have == nil && (len(served) == 0 || slices.Equal(sorted(served), sorted(pinned))), slices.Equal(have, sorted(pinned)):
		return nil
	case have == nil:
		return fmt.Errorf("%w: its istiod hands out root %s, the mesh has %s, and Secret %s/%s is gone; another root would cut its workloads "+
			"off each other: restore that Secret, or take the member out of spec.members and add it again when it is gone",
			mesh.ErrForeignRoot, mesh.ShortRoot(served), mesh.ShortRoot(pinned), pass.Namespace(), cacertsName)
	case len(served) > 0 || mesh.HasServed(pass.Object):
		return fmt.Errorf("%w: Secret %s/%s has root %s, which its workloads trust, the mesh has %s; do not delete that Secret: take the "+
			"member out of spec.members, and add it again when it is gone",
			mesh.ErrForeignRoot, pass.Namespace(), cacertsName, mesh.ShortRoot(have), mesh.ShortRoot(pinned))
	}
	return fmt.Errorf("%w: Secret %s/%s has root %s, the mesh has %s; delete that Secret if nothing in the cluster uses it, or take the "+
		"cluster out of spec.members", mesh.ErrForeignRoot, pass.Namespace(), cacertsName, mesh.ShortRoot(have), mesh.ShortRoot(pinned))
}

func sorted(fingerprints []string) []string { return slices.Sorted(slices.Values(fingerprints)) }

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
		return nil, false, fmt.Errorf("%w: the root in Secret %s/%s cannot be read (%w); delete that Secret if nothing uses it",
			mesh.ErrForeignRoot, pass.Namespace(), cacertsName, err)
	}
	return root, existing.Labels[meshv1alpha1.LabelInstallation] == pass.Owner(), nil
}

// sameRoot refuses a member that has another root than the pinned one, in its `cacerts` or, if that Secret is gone, in what
// its istiod was last seen to hand out.
func sameRoot(pass *member.Pass, have, pinned []string) error {
	served := pass.Object.Status.Trust.RootFingerprints
	switch {
	case have == nil && (len(served) == 0 || slices.Equal(sorted(served), sorted(pinned))), slices.Equal(have, sorted(pinned)):
		return nil
	case have == nil:
		return fmt.Errorf("%w: its istiod hands out root %s, the mesh has %s, and Secret %s/%s is gone; another root would cut its workloads "+
			"off each other: restore that Secret, or take the member out of spec.members and add it again when it is gone",
			mesh.ErrForeignRoot, mesh.ShortRoot(served), mesh.ShortRoot(pinned), pass.Namespace(), cacertsName)
	case len(served) > 0:
		return fmt.Errorf("%w: Secret %s/%s has root %s, which its workloads trust, the mesh has %s; do not delete that Secret: take the "+
			"member out of spec.members, and add it again when it is gone",
			mesh.ErrForeignRoot, pass.Namespace(), cacertsName, mesh.ShortRoot(have), mesh.ShortRoot(pinned))
	}
	return fmt.Errorf("%w: Secret %s/%s has root %s, the mesh has %s; delete that Secret if nothing in the cluster uses it, or take the "+
		"cluster out of spec.members", mesh.ErrForeignRoot, pass.Namespace(), cacertsName, mesh.ShortRoot(have), mesh.ShortRoot(pinned))
}

func sorted(fingerprints []string) []string { return slices.Sorted(slices.Values(fingerprints)) }

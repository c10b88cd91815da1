package claim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// held is the claim that was found in a cluster.
type held struct {
	// data of its ConfigMap. Nil: there is none.
	data map[string]string
	// isOurs is true for the claim of this member.
	isOurs bool
}

// IsOurs is true when the cluster holds the claim of this member. Without one, and with that of another, nothing in the cluster is the
// member's.
func (s *Steps) IsOurs(ctx context.Context, pass *member.Pass) (bool, error) {
	found, err := s.read(ctx, pass)
	if errors.Is(err, errClaimed) {
		return false, nil
	}
	return found.isOurs, err
}

// read reads the claim. Error: errClaimed, if it is that of another member.
func (s *Steps) read(ctx context.Context, pass *member.Pass) (held, error) {
	cm := &corev1.ConfigMap{}
	err := pass.Remote.Get(ctx, client.ObjectKey{Namespace: pass.Namespace(), Name: name}, cm)
	if apierrors.IsNotFound(err) {
		return held{}, nil
	}
	if err != nil {
		return held{}, fmt.Errorf("read the claim: %w", err)
	}
	want := s.identity(pass)
	// In one order, so that the message stays the same.
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if v := want[k]; cm.Data[k] != v {
			return held{data: cm.Data}, fmt.Errorf("%w: ConfigMap %s/%s records %s %q, this is %q; remove the mesh there first",
				errClaimed, cm.Namespace, cm.Name, k, cm.Data[k], v)
		}
	}
	return held{data: cm.Data, isOurs: true}, nil
}

// identity is what a claim records of its member.
func (s *Steps) identity(pass *member.Pass) map[string]string {
	return map[string]string{
		"hub": s.HubUID, "installation": pass.Object.Namespace + "/" + pass.Object.Spec.Installation, "member": pass.Object.Spec.Cluster,
	}
}

// isFormerHubs is true for a claim that is refused only because it has another hub: this one may have taken its place, and must not
// have another root made before it knows.
func (s *Steps) isFormerHubs(pass *member.Pass, found held) bool {
	own := s.identity(pass)
	return found.data["installation"] == own["installation"] && found.data["member"] == own["member"]
}

// root refuses a member that belongs to another root than the pinned one, before anything is written there, and returns what its claim
// is to record.
func (s *Steps) root(ctx context.Context, pass *member.Pass, found held) (string, error) {
	recorded, err := s.recordedRoot(ctx, pass, found)
	if err != nil {
		return "", err
	}
	pass.Object.Status.Trust.ClaimedRoot = mesh.Claimed(recorded)
	pinned := mesh.JoinRoot(pass.Object.Spec.PinnedRoot)
	if recorded == "" || pinned == "" || recorded == pinned {
		return cmp.Or(pinned, recorded), nil
	}
	return "", fmt.Errorf("%w: ConfigMap %s/%s records root %s, the mesh has %s; give the hub the former root (docs/backup.md). If the cluster "+
		"is to start anew, take it out of spec.members and add it again when it is gone",
		mesh.ErrForeignRoot, pass.Namespace(), name, mesh.ShortRoot(strings.Split(recorded, ",")), mesh.ShortRoot(pass.Object.Spec.PinnedRoot))
}

// recordedRoot is the root that the member belongs to: as its claim records it or, if a former release made the claim, that of the
// signing certificate that the operator made.
func (s *Steps) recordedRoot(ctx context.Context, pass *member.Pass, found held) (string, error) {
	if recorded := found.data[rootKey]; recorded != "" || !found.isOurs {
		return recorded, nil
	}
	have, ours, err := s.PresentRoot(ctx, pass)
	if err != nil || !ours {
		return "", err
	}
	return mesh.JoinRoot(have), nil
}

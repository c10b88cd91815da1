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

// Holder is whose a cluster is.
type Holder int

const (
	// Nobody holds a claim. Cluster-scoped objects of the member may be left all the same: the claim goes with its namespace.
	Nobody Holder = iota
	// Other is another member, whose objects are not touched.
	Other
	// Own is this member.
	Own
)

// HeldBy says whose the cluster is, and lets the Applier know which cluster-scoped objects are this member's.
func (s *Steps) HeldBy(ctx context.Context, pass *member.Pass) (Holder, error) {
	found, err := s.read(ctx, pass)
	switch {
	case errors.Is(err, errClaimed):
		return Other, nil
	case err != nil:
		return Nobody, err
	}
	s.identifyOrigin(pass, found)
	if found.isOurs {
		return Own, nil
	}
	return Nobody, nil
}

// identifyOrigin takes over which hub claimed the cluster first: as the claim records it or, if that is gone, as the MeshMember remembers it.
func (s *Steps) identifyOrigin(pass *member.Pass, found held) {
	st := &pass.Object.Status
	recorded := ""
	if found.isOurs {
		recorded = found.data[originKey]
	}
	st.Origin = cmp.Or(recorded, st.Origin, s.HubUID)
	pass.Applier().Identify(st.Origin)
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

package harness

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// MeshOverlay is the sample with the lab's values.
const MeshOverlay = "hack/lab/overlays/mesh"

// ApplyMesh applies the sample with the lab's values.
func (e *Env) ApplyMesh(ctx context.Context) error {
	return e.kubectlQuiet(ctx, HubName, "apply", "-k", MeshOverlay)
}

// Installation reads the MeshInstallation.
func (e *Env) Installation(ctx context.Context) (*meshv1alpha1.MeshInstallation, error) {
	m := &meshv1alpha1.MeshInstallation{}
	if err := e.Hub.Client.Get(ctx, e.Mesh, m); err != nil {
		return nil, fmt.Errorf("get MeshInstallation %s: %w", e.Mesh, err)
	}
	return m, nil
}

// MeshMembers reads the MeshMembers of the installation, sorted by cluster.
func (e *Env) MeshMembers(ctx context.Context) ([]meshv1alpha1.MeshMember, error) {
	list := &meshv1alpha1.MeshMemberList{}
	if err := e.Hub.Client.List(ctx, list, client.InNamespace(e.Mesh.Namespace)); err != nil {
		return nil, fmt.Errorf("list MeshMembers: %w", err)
	}
	members := slices.DeleteFunc(list.Items, func(m meshv1alpha1.MeshMember) bool {
		return m.Spec.Installation != e.Mesh.Name
	})
	slices.SortFunc(members, func(a, b meshv1alpha1.MeshMember) int {
		switch {
		case a.Spec.Cluster < b.Spec.Cluster:
			return -1
		case a.Spec.Cluster > b.Spec.Cluster:
			return 1
		}
		return 0
	})
	return members, nil
}

// MeshMember reads the MeshMember of one cluster.
func (e *Env) MeshMember(ctx context.Context, cluster string) (*meshv1alpha1.MeshMember, error) {
	members, err := e.MeshMembers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range members {
		if members[i].Spec.Cluster == cluster {
			return &members[i], nil
		}
	}
	return nil, fmt.Errorf("there is no MeshMember for cluster %q", cluster)
}

// EditMesh changes the MeshInstallation's spec, as a user would with kubectl edit.
func (e *Env) EditMesh(ctx context.Context, edit func(*meshv1alpha1.MeshInstallation)) error {
	m, err := e.Installation(ctx)
	if err != nil {
		return err
	}
	patch := client.MergeFrom(m.DeepCopy())
	edit(m)
	if err := e.Hub.Client.Patch(ctx, m, patch); err != nil {
		return fmt.Errorf("change MeshInstallation %s: %w", e.Mesh, err)
	}
	return nil
}

// AddMember adds a cluster that is up to the mesh.
func (e *Env) AddMember(ctx context.Context, name string) error {
	if err := e.JoinMember(ctx, name); err != nil {
		return err
	}
	return e.addMember(ctx, MemberByKubeconfig(name, nil))
}

// AddHub makes the hub itself a member, which needs no kubeconfig: the operator gets the permissions of a member's
// credential in its own cluster, and the peers are told where the hub's API server is. Peers can then read its Secrets, which the field
// given must accept.
func (e *Env) AddHub(ctx context.Context, secrets meshv1alpha1.HubSecrets) error {
	// The permissions that hold in the control plane's namespace only need it.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ControlPlaneNamespace}}
	if err := e.Hub.Client.Create(ctx, namespace); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("create namespace %s: %w", namespace.Name, err)
	}
	if err := e.kubectlQuiet(ctx, HubName, "apply", "--server-side", "-k", "config/local-member"); err != nil {
		return err
	}
	return e.addMember(ctx, meshv1alpha1.Member{
		Name:       HubName,
		ClusterRef: meshv1alpha1.ClusterRef{Local: &meshv1alpha1.LocalCluster{}},
		APIServer:  e.Hub.Config.Host,
		HubSecrets: secrets,
	})
}

func (e *Env) addMember(ctx context.Context, member meshv1alpha1.Member) error {
	err := e.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.Members = append(m.Spec.Members, member)
	})
	if err != nil {
		return err
	}
	e.NoteMember(member.Name)
	return nil
}

// NoteMember counts a cluster that is up to the members, because something else has added it to the mesh.
func (e *Env) NoteMember(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.members = append(e.members, name)
}

// RemoveMember takes a cluster out of the mesh. The cluster stays up.
func (e *Env) RemoveMember(ctx context.Context, name string) error {
	err := e.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.Members = slices.DeleteFunc(m.Spec.Members, func(x meshv1alpha1.Member) bool { return x.Name == name })
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.members = slices.DeleteFunc(e.members, func(m string) bool { return m == name })
	return nil
}

// ForceDeleteMesh is DeleteMesh without regard to the workloads whose proxies lose their control plane.
func (e *Env) ForceDeleteMesh(ctx context.Context, deadline time.Duration) error {
	err := e.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyForce })
	if err != nil && !isAbsent(err) {
		return err
	}
	return e.DeleteMesh(ctx, deadline)
}

// PermitDeletion turns the protection of the MeshInstallation off.
func (e *Env) PermitDeletion(ctx context.Context) error {
	return e.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.DeletionProtection = meshv1alpha1.DeletionProtectionDisabled
	})
}

// DeleteMesh deletes the MeshInstallation, protected or not, and waits until it is gone, which is when every member is clean. Members in
// which pods with a proxy run are waited for.
func (e *Env) DeleteMesh(ctx context.Context, deadline time.Duration) error {
	if err := e.PermitDeletion(ctx); err != nil && !isAbsent(err) {
		return err
	}
	m := &meshv1alpha1.MeshInstallation{ObjectMeta: metav1.ObjectMeta{Namespace: e.Mesh.Namespace, Name: e.Mesh.Name}}
	if err := client.IgnoreNotFound(e.Hub.Client.Delete(ctx, m)); err != nil {
		return fmt.Errorf("delete MeshInstallation %s: %w", e.Mesh, err)
	}
	watch := newConditionWatch(e)
	return Await(ctx, "the MeshInstallation to be gone", deadline, func(ctx context.Context) (bool, string, error) {
		err := e.Hub.Client.Get(ctx, e.Mesh, m)
		if isAbsent(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", err
		}
		return false, watch.look(ctx), nil
	})
}

// isReady tells whether Ready is True for the newest generation.
func isReady(conditions []metav1.Condition, observed, generation int64) bool {
	return observed == generation && meta.IsStatusConditionTrue(conditions, meshv1alpha1.ConditionReady)
}

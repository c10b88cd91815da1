package testutil

import (
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Names that built objects have.
const (
	Namespace    = "meshfleet-system"
	Mesh         = "shop"
	Version      = "1.29.1"
	Revision     = "1-29-1"
	ControlPlane = "istio-system"
)

// Installation builds a MeshInstallation as the API server stores it: with its defaults.
func Installation(options ...func(*meshv1alpha1.MeshInstallation)) *meshv1alpha1.MeshInstallation {
	inst := &meshv1alpha1.MeshInstallation{
		ObjectMeta: metav1.ObjectMeta{Name: Mesh, Namespace: Namespace, UID: "installation-uid", Generation: 1},
		Spec: meshv1alpha1.MeshInstallationSpec{
			Version: Version, TrustDomain: "cluster.local", ControlPlaneNamespace: ControlPlane,
			DeletionPolicy: meshv1alpha1.DeletionPolicyWaitForMembers,
		},
	}
	for _, o := range options {
		o(inst)
	}
	return inst
}

// Tags are revision tags of a spec.
func Tags(names ...string) (tags []meshv1alpha1.RevisionTag) {
	for _, name := range names {
		tags = append(tags, meshv1alpha1.RevisionTag{Name: name})
	}
	return tags
}

// With adds a member.
func With(name string, options ...func(*meshv1alpha1.Member)) func(*meshv1alpha1.MeshInstallation) {
	return func(inst *meshv1alpha1.MeshInstallation) {
		m := meshv1alpha1.Member{Name: name, ClusterRef: meshv1alpha1.ClusterRef{
			KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: name + "-kubeconfig", Key: "value"},
		}}
		for _, o := range options {
			o(&m)
		}
		inst.Spec.Members = append(inst.Spec.Members, m)
	}
}

// Member builds a MeshMember of the cluster with one revision.
func Member(cluster string, options ...func(*meshv1alpha1.MeshMember)) *meshv1alpha1.MeshMember {
	m := &meshv1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{
			Name: Mesh + "-" + cluster, Namespace: Namespace, UID: "member-uid", Generation: 1,
			Labels: map[string]string{meshv1alpha1.LabelInstallation: Mesh, meshv1alpha1.LabelMember: cluster},
		},
		Spec: meshv1alpha1.MeshMemberSpec{
			Installation: Mesh, Cluster: cluster, Network: "net-" + cluster, MeshID: Mesh, TrustDomain: "cluster.local",
			ControlPlaneNamespace: ControlPlane, DefaultRevision: Revision,
			Revisions:      []meshv1alpha1.Revision{{Name: Revision, Version: Version}},
			CASecret:       Mesh + "-" + cluster + "-ca",
			DeletionPolicy: meshv1alpha1.DeletionPolicyWaitForMembers,
		},
	}
	for _, o := range options {
		o(m)
	}
	return m
}

// JSON is a values field.
func JSON(v any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("values of a test do not marshal: " + err.Error())
	}
	return &apiextensionsv1.JSON{Raw: raw}
}

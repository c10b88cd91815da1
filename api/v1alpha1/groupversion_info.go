// Package v1alpha1 contains the API of Meshfleet. Users write MeshInstallations and decide MeshApprovals. The operator writes
// a MeshMember for each member cluster, and a MeshUpgrade for each upgrade.
//
// +kubebuilder:object:generate=true
// +groupName=mesh.meshfleet.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every kind in this package.
	GroupVersion = schema.GroupVersion{Group: "mesh.meshfleet.io", Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(func(s *runtime.Scheme) error {
		s.AddKnownTypes(GroupVersion, &MeshInstallation{}, &MeshInstallationList{}, &MeshMember{}, &MeshMemberList{},
			&MeshUpgrade{}, &MeshUpgradeList{}, &MeshApproval{}, &MeshApprovalList{})
		metav1.AddToGroupVersion(s, GroupVersion)
		return nil
	})

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

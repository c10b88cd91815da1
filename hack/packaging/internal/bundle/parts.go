package bundle

import (
	"fmt"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// parts are the objects of config/manifests by what becomes of them.
type parts struct {
	csv         *operatorsv1alpha1.ClusterServiceVersion
	deployment  *appsv1.Deployment
	namespace   *corev1.Namespace
	permissions *permissions
	webhooks    *webhooks
	// definitions are the CustomResourceDefinitions.
	definitions []*unstructured.Unstructured
	// kept become manifests of the bundle as they are.
	kept []*unstructured.Unstructured
}

func classify(objects []*unstructured.Unstructured) (*parts, error) {
	p := &parts{}
	var err error
	if p.csv, err = manifests.DecodeOne[operatorsv1alpha1.ClusterServiceVersion](objects, operatorsv1alpha1.ClusterServiceVersionKind); err != nil {
		return nil, err
	}
	if p.deployment, err = manifests.DecodeOne[appsv1.Deployment](objects, "Deployment"); err != nil {
		return nil, err
	}
	if p.namespace, err = manifests.DecodeOne[corev1.Namespace](objects, "Namespace"); err != nil {
		return nil, err
	}
	if p.permissions, err = permissionsOf(objects, p.deployment.Spec.Template.Spec.ServiceAccountName); err != nil {
		return nil, err
	}
	if p.webhooks, err = webhooksOf(objects); err != nil {
		return nil, err
	}
	for _, u := range objects {
		if err := p.place(u); err != nil {
			return nil, fmt.Errorf("%s %q: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return p, nil
}

// place keeps an object, or makes sure that something else stands for it.
func (p *parts) place(u *unstructured.Unstructured) error {
	switch u.GetKind() {
	case "CustomResourceDefinition":
		p.definitions = append(p.definitions, u)
	case "PodDisruptionBudget":
		p.kept = append(p.kept, u)
	case "ClusterRole":
		// Those of the operator are clusterPermissions; the others are for people, who bind them.
		if !p.permissions.roles[roleKey(u.GetKind(), u.GetName())] {
			p.kept = append(p.kept, u)
		}
	case "Role":
		if !p.permissions.roles[roleKey(u.GetKind(), u.GetName())] {
			return fmt.Errorf("the operator's ServiceAccount is not bound to it, and OLM makes Roles of ServiceAccounts only")
		}
	case "Service":
		if u.GetName() != p.webhooks.service {
			p.kept = append(p.kept, u)
		}
	case "ServiceAccount":
		if want := p.deployment.Spec.Template.Spec.ServiceAccountName; u.GetName() != want {
			return fmt.Errorf("it is not %q, which the Deployment uses", want)
		}
	case "Certificate":
		if u.GetName() != p.webhooks.certificate {
			return fmt.Errorf("it is not the certificate of the webhooks, which OLM replaces")
		}
	case "Issuer":
		if u.GetName() != p.webhooks.issuer {
			return fmt.Errorf("it does not issue the certificate of the webhooks, which OLM replaces")
		}
	case operatorsv1alpha1.ClusterServiceVersionKind, "Deployment", "Namespace", "RoleBinding", "ClusterRoleBinding", validatingKind, mutatingKind:
		// The functions above have read them.
	default:
		return fmt.Errorf("the bundle has no place for this kind: decide in hack/packaging/internal/bundle/parts.go")
	}
	return nil
}

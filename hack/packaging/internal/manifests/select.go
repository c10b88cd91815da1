package manifests

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// OfKind returns the objects that have one of the kinds, in their order.
func OfKind(objects []*unstructured.Unstructured, kinds ...string) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, u := range objects {
		if slices.Contains(kinds, u.GetKind()) {
			found = append(found, u)
		}
	}
	return found
}

// Decode returns an object as the Go type T. A field that the type does not have is an error.
func Decode[T any](u *unstructured.Unstructured) (*T, error) {
	object := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, object, true); err != nil {
		return nil, fmt.Errorf("%s %q as %T: %w", u.GetKind(), u.GetName(), *object, err)
	}
	return object, nil
}

// DecodeKind returns all objects of a kind as the Go type T.
func DecodeKind[T any](objects []*unstructured.Unstructured, kind string) ([]*T, error) {
	var decoded []*T
	for _, u := range OfKind(objects, kind) {
		object, err := Decode[T](u)
		if err != nil {
			return nil, err
		}
		decoded = append(decoded, object)
	}
	return decoded, nil
}

// DecodeOne returns the only object of a kind as the Go type T. None, and more than one, is an error.
func DecodeOne[T any](objects []*unstructured.Unstructured, kind string) (*T, error) {
	found := OfKind(objects, kind)
	if len(found) != 1 {
		return nil, fmt.Errorf("%d objects have the kind %s, want 1", len(found), kind)
	}
	return Decode[T](found[0])
}

// ManagerContainer is the name of the operator's container in its Deployment.
const ManagerContainer = "manager"

// Manager returns the operator's container. A change of it changes the Deployment.
func Manager(deployment *appsv1.Deployment) (*corev1.Container, error) {
	containers := deployment.Spec.Template.Spec.Containers
	for i := range containers {
		if containers[i].Name == ManagerContainer {
			return &containers[i], nil
		}
	}
	return nil, fmt.Errorf("deployment %q has no container %q", deployment.Name, ManagerContainer)
}

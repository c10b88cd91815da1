package envtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// pairName is a mesh of the hub and one more cluster.
const pairName = "pair"

// hubBeside makes the hub a member beside another, by a kubeconfig that admission cannot know to lead there. It is refused before
// anything is written there, and no peer gets a token of it, until the spec accepts what peers can read with one.
func (s *suite) hubBeside(t *testing.T) {
	s.writeKubeconfig(t, hubName, s.hub.kubeconfig(t))
	s.writeKubeconfig(t, "east", s.members["east"].kubeconfig(t))
	pair := shop(pairName, withMember("east"), withMember(hubName), func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = newer })
	must(t, s.hub.admin.Create(t.Context(), pair))
	await(t, "the hub is refused", func(ctx context.Context) error {
		m, err := s.pairMember(ctx, hubName)
		if err != nil {
			return err
		}
		return stalled(m.Status.Conditions, meshv1alpha1.ReasonHubSecretsReadable)
	})
	await(t, "the other member serves", func(ctx context.Context) error {
		m, err := s.pairMember(ctx, "east")
		if err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionGatewaysReady) {
			return fmt.Errorf("conditions: %s", describe(m.Status.Conditions))
		}
		return nil
	})
	t.Run("nothing is written in it", func(t *testing.T) {
		left, err := s.hub.labelled(t.Context(), meshv1alpha1.LabelInstallation+"="+operatorNamespace+"."+pairName)
		if err != nil || len(left) > 0 {
			t.Errorf("found %v (%v)", left, err)
		}
	})
	t.Run("no token of it is made", func(t *testing.T) {
		err := s.hub.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: pairName + "-hub-reader"}, &corev1.Secret{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("the Secret with the token: %v, want none", err)
		}
	})
	t.Run("peers read no Secrets of it", func(t *testing.T) {
		if readers := s.readersOfHub(t); len(readers) > 0 {
			t.Errorf("tokens in Secrets %v of east list the Secrets of the hub", readers)
		}
	})
	s.accept(t)
	// Else the check above would prove nothing.
	t.Run("peers read Secrets of it when the spec accepts that", func(t *testing.T) {
		await(t, "east has a token that lists Secrets of the hub", func(context.Context) error {
			if len(s.readersOfHub(t)) == 0 {
				return errors.New("no token in east does")
			}
			return nil
		})
		await(t, "the condition tells", func(ctx context.Context) error {
			m, err := s.pairMember(ctx, hubName)
			if err != nil {
				return err
			}
			return has(m.Status.Conditions, meshv1alpha1.ConditionHubSecretsProtected, metav1.ConditionFalse, meshv1alpha1.ReasonHubSecretsReadable)
		})
	})
	s.dropPair(t, pair)
}

func (s *suite) pairMember(ctx context.Context, name string) (*meshv1alpha1.MeshMember, error) {
	m := &meshv1alpha1.MeshMember{}
	return m, s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: pairName + "-" + name}, m)
}

// accept lets peers read the hub's Secrets.
func (s *suite) accept(t *testing.T) {
	t.Helper()
	pair := &meshv1alpha1.MeshInstallation{}
	must(t, s.hub.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: pairName}, pair))
	for i := range pair.Spec.Members {
		if pair.Spec.Members[i].Name == hubName {
			pair.Spec.Members[i].HubSecrets = meshv1alpha1.HubSecretsReadableByPeers
		}
	}
	must(t, s.hub.admin.Update(t.Context(), pair))
}

// readersOfHub tries every credential in the control plane's namespace of east against the hub's API server, and names the Secrets
// whose credential lists all Secrets there.
func (s *suite) readersOfHub(t *testing.T) []string {
	t.Helper()
	list := &corev1.SecretList{}
	must(t, s.members["east"].admin.List(t.Context(), list, client.InNamespace(controlPlaneNamespace)))
	var readers []string
	for i := range list.Items {
		for _, token := range jwt.FindAll(slices.Concat(slices.Collect(maps.Values(list.Items[i].Data))...), -1) {
			config := rest.AnonymousClientConfig(s.hub.config)
			config.BearerToken = string(token)
			clientset, err := kubernetes.NewForConfig(config)
			must(t, err)
			secrets, err := clientset.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
			switch {
			case err == nil && len(secrets.Items) > 0:
				readers = append(readers, list.Items[i].Name)
			case err == nil, apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
			default:
				t.Errorf("list Secrets of the hub: %v", err)
			}
		}
	}
	return readers
}

// jwt is how a token of an account looks, in a kubeconfig or alone.
var jwt = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

func (s *suite) dropPair(t *testing.T, pair *meshv1alpha1.MeshInstallation) {
	t.Helper()
	// A member that was never ready reports no number of pods, which refuses the deletion.
	s.permitDeletion(t, pair)
	must(t, s.hub.admin.Delete(t.Context(), pair))
	await(t, "the mesh of the hub and east is gone", func(ctx context.Context) error {
		err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(pair), pair)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New(describe(pair.Status.Conditions)))
	})
}

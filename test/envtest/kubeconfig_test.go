package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// nowhere is an address where nothing listens.
const nowhere = "https://127.0.0.1:1"

func at(server string) kubeconfigOption {
	return func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = server }
}

func as(token string) kubeconfigOption {
	return func(_ *clientcmdapi.Cluster, a *clientcmdapi.AuthInfo) { a.Token = token }
}

func byProgram(_ *clientcmdapi.Cluster, a *clientcmdapi.AuthInfo) {
	a.Token, a.Exec = "", &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "aws", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}
}

// kubeconfigs breaks the credential of west in several ways. Each is told, none touches east, and each heals as soon
// as the Secret is right again.
func (s *suite) kubeconfigs(t *testing.T) {
	west := s.members["west"]
	north, start := s.members["north"], time.Now()
	good := west.kubeconfig(t)
	powerless := west.powerless(t)
	for _, c := range []struct {
		name       string
		kubeconfig []byte
		// wantReachable is Unknown while nobody answers: then we do not know.
		wantReachable, wantReady metav1.ConditionStatus
		wantReason               string
	}{
		{"garbage", []byte("no kubeconfig at all"), metav1.ConditionFalse, metav1.ConditionFalse, meshv1alpha1.ReasonKubeconfigInvalid},
		{"a program for credentials", west.kubeconfig(t, byProgram), metav1.ConditionFalse, metav1.ConditionFalse, meshv1alpha1.ReasonKubeconfigInvalid},
		{"empty", nil, metav1.ConditionFalse, metav1.ConditionUnknown, meshv1alpha1.ReasonKubeconfigMissing},
		{"unreachable server", west.kubeconfig(t, at(nowhere)), metav1.ConditionUnknown, metav1.ConditionUnknown, meshv1alpha1.ReasonConnectionDown},
		{"invalid token", west.kubeconfig(t, as("no.such.token")), metav1.ConditionFalse, metav1.ConditionFalse, meshv1alpha1.ReasonUnauthorized},
		{"another cluster", north.kubeconfig(t), metav1.ConditionFalse, metav1.ConditionFalse, meshv1alpha1.ReasonClusterClaimed},
		{"no permissions", west.kubeconfig(t, as(powerless)), metav1.ConditionFalse, metav1.ConditionFalse, meshv1alpha1.ReasonPermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			readySince := s.readySince(t, "east")
			s.writeKubeconfig(t, "west", c.kubeconfig)
			await(t, "west says "+c.wantReason, func(ctx context.Context) error {
				m, err := s.member(ctx, "west")
				if err != nil {
					return err
				}
				inst, err := s.installation(ctx)
				if err != nil {
					return err
				}
				var unreachable error
				if inst.Status.Members.Unreachable != 1 || inst.Status.Members.Ready != 1 {
					unreachable = fmt.Errorf("the mesh counts %+v", inst.Status.Members)
				}
				return errors.Join(unreachable,
					has(m.Status.Conditions, meshv1alpha1.ConditionReady, c.wantReady, c.wantReason),
					has(m.Status.Conditions, meshv1alpha1.ConditionReachable, c.wantReachable, c.wantReason),
					has(m.Status.Conditions, meshv1alpha1.ConditionAvailable, metav1.ConditionUnknown, c.wantReason),
					has(m.Status.Conditions, meshv1alpha1.ConditionGatewaysReady, metav1.ConditionUnknown, meshv1alpha1.ReasonConnectionDown),
					secretless(m.Status.Conditions, west.token))
			})
			s.writeKubeconfig(t, "west", good)
			s.awaitReady(t, both...)
			if since := s.readySince(t, "east"); !since.Equal(&readySince) {
				t.Errorf("east was not ready all the time: since %s, was since %s", since, readySince)
			}
		})
	}
	for _, one := range north.writes(t, start) {
		t.Errorf("written into a cluster that nobody has made a member: %s", one)
	}
}

// powerless is the token of an account that may do nothing.
func (c *cluster) powerless(t *testing.T) string {
	t.Helper()
	must(t, c.admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: "powerless"}}))
	token, err := c.tokenOf(t.Context(), memberNamespace, "powerless")
	must(t, err)
	return token
}

// readySince is when a member became ready; it is not ready at all for the zero time.
func (s *suite) readySince(t *testing.T, name string) metav1.Time {
	t.Helper()
	m, err := s.member(t.Context(), name)
	must(t, err)
	c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReady)
	if c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("%s is not ready: %s", name, describe(m.Status.Conditions))
		return metav1.Time{}
	}
	return c.LastTransitionTime
}

// secretless makes sure that no condition tells a credential.
func secretless(conditions []metav1.Condition, token string) error {
	for _, c := range conditions {
		if strings.Contains(c.Message, token) {
			return fmt.Errorf("condition %s contains the token", c.Type)
		}
	}
	return nil
}

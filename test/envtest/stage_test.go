package envtest

import (
	"context"
	"errors"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stage is a cluster on which a kubelet and istiod are played.
type stage struct {
	cluster *cluster
	again   func()

	mu   sync.Mutex
	held map[string]bool
}

// play starts the play in a cluster.
func play(t *testing.T, c *cluster) {
	t.Helper()
	s := &stage{cluster: c, held: map[string]bool{}}
	c.stage = s
	s.again = loop(t, c, []client.Object{
		&appsv1.Deployment{}, &corev1.Pod{}, &corev1.Service{}, &corev1.Secret{}, &corev1.ConfigMap{},
		&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{},
	}, func(ctx context.Context) error {
		return errors.Join(s.deployments(ctx), s.balancers(ctx), s.istiods(ctx))
	})
}

// hold keeps something from happening until release: addresses, or pods of the Deployment of that name.
func (s *stage) hold(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[what] = true
}

func (s *stage) release(what string) {
	s.mu.Lock()
	delete(s.held, what)
	s.mu.Unlock()
	s.again()
}

func (s *stage) isHeld(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[what]
}

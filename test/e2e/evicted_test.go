//go:build e2e && upgrades

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// lateNamespace has workloads that go after those of the demo's namespace, among them what nobody may restart.
const lateNamespace = "late"

const late = `
apiVersion: v1
kind: Namespace
metadata:
  name: late
  labels:
    istio.io/rev: prod
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: echo
  namespace: late
spec:
  replicas: 2
  selector:
    matchLabels:
      app: echo
  template:
    metadata:
      labels:
        app: echo
    spec:
      containers:
      - name: echo
        image: lab.local/echo:1
        imagePullPolicy: IfNotPresent
        ports:
        - {name: http, containerPort: 8080}
        readinessProbe:
          httpGet: {path: /readyz, port: 8080}
          periodSeconds: 1
        resources:
          requests: {cpu: 10m, memory: 32Mi}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: one-at-a-time
  namespace: late
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: echo
---
apiVersion: v1
kind: Pod
metadata:
  name: bare
  namespace: late
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: echo
    image: lab.local/echo:1
    imagePullPolicy: IfNotPresent
`

// evicted moves workloads by eviction: the first namespaces before the others, a pod of a workload at a time, no template
// changed, within a PodDisruptionBudget. The bare pod is reported and left alone; it keeps the old revision until somebody deletes it.
func (s *suite) evicted(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	s.step(t, "deploy two of each echo", func() error {
		if err := east.Apply(ctx, late); err != nil {
			return err
		}
		if err := s.scaleEcho(ctx, 2); err != nil {
			return err
		}
		return east.AwaitInjected(ctx, lateNamespace)
	})
	templates, err := s.templates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		if err := s.scaleEcho(ctx, 1); err != nil {
			t.Error(err)
		}
		if err := east.Delete(ctx, late); err != nil {
			t.Error(err)
		}
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) { m.Spec.DataPlane.Restart = meshv1alpha1.Restart{} })
	})
	w := &evictions{suite: s}
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.DataPlane.Restart = meshv1alpha1.Restart{
			Method:          meshv1alpha1.RestartMethodEvict,
			FirstNamespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": harness.DemoNamespace}},
		}
		return harness.SetValue(m, "34", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error { return w.watch(ctx, u) })
	if !w.reported || !w.held {
		t.Errorf("the bare pod was reported: %v, and kept the old revision: %v; want both", w.reported, w.held)
	}
	if len(w.tooEarly) > 0 {
		t.Errorf("moved before the first namespaces: %v", w.tooEarly)
	}
	after, err := s.templates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, template := range templates {
		if after[name] != template {
			t.Errorf("the template of %s was changed from %s to %s", name, template, after[name])
		}
	}
	s.requireUpgraded(t, u)
}

// scaleEcho gives every member's echo a number of replicas and waits for them.
func (s *suite) scaleEcho(ctx context.Context, replicas int32) error {
	return s.env.EachMember(func(c *harness.Cluster) error {
		d := &appsv1.Deployment{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: harness.DemoNamespace, Name: "echo"}, d); err != nil {
			return err
		}
		patch := client.MergeFrom(d.DeepCopy())
		d.Spec.Replicas = &replicas
		if err := c.Client.Patch(ctx, d, patch); err != nil {
			return err
		}
		return c.AwaitInjected(ctx, harness.DemoNamespace)
	})
}

// templates are the pod templates of the workloads with proxies.
func (s *suite) templates(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, member := range s.env.Members() {
		list := &appsv1.DeploymentList{}
		if err := s.env.Cluster(member).Client.List(ctx, list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			if d := &list.Items[i]; d.Namespace == harness.DemoNamespace || d.Namespace == lateNamespace {
				template, err := json.Marshal(d.Spec.Template)
				if err != nil {
					return nil, err
				}
				out[member+" "+d.Namespace+"/"+d.Name] = string(template)
			}
		}
	}
	return out, nil
}

// evictions watches in which order workloads of east move, and what becomes of the bare pod.
type evictions struct {
	*suite
	reported, held bool
	tooEarly       []string
}

func (w *evictions) watch(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	member, err := w.env.MeshMember(ctx, "east")
	if err != nil || member.Status.Rollout == nil {
		return err
	}
	st := member.Status.Rollout
	w.reported = w.reported || slices.ContainsFunc(st.Workloads.Skipped.Names, func(what string) bool { return strings.Contains(what, "late/bare") })
	if err := w.compare(ctx, u.Spec.To.Revision); err != nil {
		return err
	}
	if st.Stage == meshv1alpha1.StageRetire && st.State == meshv1alpha1.StageInconclusive && strings.Contains(st.Message, "late/bare") {
		w.held = true
		bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: lateNamespace, Name: "bare"}}
		return client.IgnoreNotFound(w.env.Cluster("east").Client.Delete(ctx, bare))
	}
	return nil
}

// compare looks for pods of the late namespace that have the new revision while pods of the first one have not. The pods of
// the late one are read first: what moves in between is no fault.
func (w *evictions) compare(ctx context.Context, revision string) error {
	moved := func(namespace string) (yes, no []string, err error) {
		pods := &corev1.PodList{}
		if err := w.env.Cluster("east").Client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
			return nil, nil, err
		}
		for i := range pods.Items {
			if p := &pods.Items[i]; harness.InjectedRevision(p) == revision {
				yes = append(yes, p.Name)
			} else if p.DeletionTimestamp == nil {
				no = append(no, p.Name)
			}
		}
		return yes, no, nil
	}
	lateMoved, _, err := moved(lateNamespace)
	if err != nil {
		return err
	}
	_, firstLeft, err := moved(harness.DemoNamespace)
	if len(lateMoved) > 0 && len(firstLeft) > 0 {
		w.tooEarly = append(w.tooEarly, fmt.Sprintf("%v before %v", lateMoved, firstLeft))
	}
	return err
}

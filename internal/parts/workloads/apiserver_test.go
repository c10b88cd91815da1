package workloads

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestEvictAtAnAPIServer moves one workload of each kind with the permissions of a member's credential. The API server
// and its eviction are real, the controllers are played.
func TestEvictAtAnAPIServer(t *testing.T) {
	admin, restricted := testutil.StartMember(t)
	for _, w := range []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}} {
		name := strings.ToLower(fmt.Sprintf("%T", w)[len("*v1."):])
		t.Run(name, func(t *testing.T) {
			(&moved{T: t, admin: admin, member: restricted, ns: name, workload: w}).run()
		})
	}
}

// moved is a namespace with one workload of two pods.
type moved struct {
	*testing.T
	admin, member client.Client
	ns            string
	workload      client.Object
	budget        *policyv1.PodDisruptionBudget
	owner         metav1.OwnerReference
}

func (m *moved) run() {
	m.create()
	defer func() { m.must(m.admin.Delete(m.Context(), m.workload)) }()

	m.allow(0)
	report := m.move()
	if len(report.Blocked) != 1 || len(report.Restarting) != 0 {
		m.Errorf("report %+v, want the workload blocked", report)
	}
	m.allow(1)
	stale := m.plan()
	if report = m.move(); len(report.Restarting) != 1 {
		m.Errorf("report %+v, want the workload restarting", report)
	}
	m.wantPods(former)
	// The budget is used up at once, whatever an older reading says.
	w := stale
	w.Evict, w.Version = m.pods(), m.version()
	if err := Evict(m.Context(), m.member, w, time.Now()); !errors.Is(err, errProtected) {
		m.Errorf("second eviction: %v, want %v", err, errProtected)
	}
	m.wantPods(former)

	m.makePod("b-2", target)
	m.settle()
	m.allow(1)
	// The first pass of a new operator: it knows nothing but what is there.
	if report = m.move(); len(report.Restarting) != 1 {
		m.Errorf("report %+v, want the workload restarting", report)
	}
	m.wantPods(target)
	m.makePod("a-2", target)
	m.allow(1)
	if report = m.move(); !report.Done {
		m.Errorf("report %+v, want all done", report)
	}
	m.wantPods(target, target)
	m.wantOldTemplate()
}

func (m *moved) create() {
	m.must(m.admin.Create(m.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: m.ns, Labels: map[string]string{"istio-injection": "enabled"},
	}}))
	labels := map[string]string{"app": "echo"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: m.spec()}
	two := int32(2)
	m.workload.SetName("echo")
	m.workload.SetNamespace(m.ns)
	switch w := m.workload.(type) {
	case *appsv1.Deployment:
		w.Spec = appsv1.DeploymentSpec{Replicas: &two, Selector: selector, Template: template}
	case *appsv1.StatefulSet:
		w.Spec = appsv1.StatefulSetSpec{Replicas: &two, Selector: selector, Template: template, ServiceName: "echo"}
	case *appsv1.DaemonSet:
		w.Spec = appsv1.DaemonSetSpec{Selector: selector, Template: template}
	}
	m.must(m.admin.Create(m.Context(), m.workload))
	switch w := m.workload.(type) {
	case *appsv1.Deployment:
		w.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	case *appsv1.StatefulSet:
		w.Status = appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	case *appsv1.DaemonSet:
		w.Status = appsv1.DaemonSetStatus{ObservedGeneration: 1, DesiredNumberScheduled: 2, CurrentNumberScheduled: 2,
			UpdatedNumberScheduled: 2, NumberAvailable: 2, NumberReady: 2}
	}
	m.must(m.admin.Status().Update(m.Context(), m.workload))
	m.own(selector, template)
	m.makePod("a-1", former)
	m.makePod("b-1", former)
	one := intstr.FromInt32(1)
	m.budget = &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: m.ns, Name: "echo"},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: selector}}
	m.must(m.admin.Create(m.Context(), m.budget))
}

// own makes what owns the pods: the workload, or a ReplicaSet of it.
func (m *moved) own(selector *metav1.LabelSelector, template corev1.PodTemplateSpec) {
	yes := true
	owner := func(kind string, o client.Object) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: o.GetName(), UID: o.GetUID(), Controller: &yes}
	}
	switch w := m.workload.(type) {
	case *appsv1.Deployment:
		rs := &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: m.ns, Name: "echo-1", OwnerReferences: []metav1.OwnerReference{owner(member.KindDeployment, w)}},
			Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: template},
		}
		m.must(m.admin.Create(m.Context(), rs))
		m.owner = owner(member.KindReplicaSet, rs)
	case *appsv1.StatefulSet:
		m.owner = owner(member.KindStatefulSet, w)
	case *appsv1.DaemonSet:
		m.owner = owner(member.KindDaemonSet, w)
	}
}

func (m *moved) spec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}
}

func (m *moved) makePod(name, revision string) {
	m.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.ns, Name: name, Labels: map[string]string{"app": "echo"}, OwnerReferences: []metav1.OwnerReference{m.owner},
		Annotations: map[string]string{"istio.io/rev": revision, "sidecar.istio.io/status": "{}"},
	}, Spec: m.spec()}
	m.must(m.admin.Create(m.Context(), p))
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	m.must(m.admin.Status().Update(m.Context(), p))
}

// allow plays the controller of PodDisruptionBudgets.
func (m *moved) allow(n int32) {
	m.Helper()
	m.must(m.admin.Get(m.Context(), client.ObjectKeyFromObject(m.budget), m.budget))
	m.budget.Status = policyv1.PodDisruptionBudgetStatus{
		ObservedGeneration: m.budget.Generation, DisruptionsAllowed: n, CurrentHealthy: 1 + n, DesiredHealthy: 1, ExpectedPods: 2,
	}
	m.must(m.admin.Status().Update(m.Context(), m.budget))
}

func (m *moved) move() Report {
	m.Helper()
	report, err := Move(m.Context(), m.member, member.NewWorld(m.member, istioSystem), m.request())
	m.must(err)
	return report
}

func (m *moved) request() Request {
	return request(evicting, func(r *Request) { r.Now = time.Now() })
}

func (m *moved) plan() Workload {
	m.Helper()
	world, err := Observe(m.Context(), member.NewWorld(m.member, istioSystem), m.request())
	m.must(err)
	_, batch := Plan(world, m.request())
	if len(batch) != 1 {
		m.Fatalf("to be done: %v, want one workload", batch)
	}
	return batch[0]
}

func (m *moved) pods() []Pod {
	m.Helper()
	list := &corev1.PodList{}
	m.must(m.admin.List(m.Context(), list, client.InNamespace(m.ns)))
	var pods []Pod
	for i := range list.Items {
		pods = append(pods, readPod(&list.Items[i]))
	}
	return pods
}

func (m *moved) version() string {
	m.Helper()
	m.must(m.admin.Get(m.Context(), client.ObjectKeyFromObject(m.workload), m.workload))
	return m.workload.GetResourceVersion()
}

func (m *moved) wantPods(revisions ...string) {
	m.Helper()
	pods := m.pods()
	if len(pods) != len(revisions) {
		m.Fatalf("%d pods, want %d", len(pods), len(revisions))
	}
	for i, p := range pods {
		if p.Revision != revisions[i] {
			m.Errorf("pod %s has revision %s, want %s", p.Name, p.Revision, revisions[i])
		}
	}
}

// wantOldTemplate: nothing was rolled out.
func (m *moved) wantOldTemplate() {
	m.Helper()
	m.version()
	var template *metav1.ObjectMeta
	switch w := m.workload.(type) {
	case *appsv1.Deployment:
		template = &w.Spec.Template.ObjectMeta
	case *appsv1.StatefulSet:
		template = &w.Spec.Template.ObjectMeta
	case *appsv1.DaemonSet:
		template = &w.Spec.Template.ObjectMeta
	}
	if len(template.Annotations) != 0 || m.workload.GetAnnotations()[forAnnotation] != target {
		m.Errorf("annotations %v, of the template %v, want a note of %s and none", m.workload.GetAnnotations(), template.Annotations, target)
	}
}

// settle plays the workload's controller: the API server counts a note as a new generation of a Deployment.
func (m *moved) settle() {
	m.Helper()
	m.version()
	if d, ok := m.workload.(*appsv1.Deployment); ok {
		d.Status.ObservedGeneration = d.Generation
		m.must(m.admin.Status().Update(m.Context(), d))
	}
}

func (m *moved) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

package workloads

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
)

// Request says where the workloads of a member shall go.
type Request struct {
	// Namespace of the control plane. What carries the operator's label there is the operator's own and not moved.
	Namespace string
	// Tags give the revision of each tag, `default` included.
	Tags map[string]string
	// InjectsByDefault says that the tag `default` also injects where no label asks for a proxy.
	InjectsByDefault bool
	// Revisions are the names of the revisions that are installed.
	Revisions []string
	// Method by which workloads are moved. Default: RolloutRestart.
	Method meshv1alpha1.RestartMethod
	// MaxUnavailable is how many workloads may restart at the same time, as a number or as a percentage of those that
	// can be moved, rounded down. At least one; nil is one.
	MaxUnavailable *intstr.IntOrString
	// First selects namespaces, by their labels, whose workloads are moved before all others. Nil selects none.
	First labels.Selector
	// Checked says that the workloads of these have moved and are found well, so that the rest may follow.
	Checked bool
	// Hold says why nothing more may be restarted for now. Empty: nothing holds.
	Hold string
	// Back says that workloads are rolled back. One that is not available is restarted as well, and no PodDisruptionBudget holds it,
	// because there is nothing left to protect. So none is evicted that can be restarted.
	Back bool
	// HasFailed says that the revision has failed from which workloads are rolled back: no PodDisruptionBudget holds those that are
	// available either.
	HasFailed bool
	// Now is the time of the pass.
	Now time.Time
}

// Report is how far the workloads are. Its lists are sorted, and each entry is a workload, mostly with a reason, as in
// "Deployment demo/echo: is paused".
type Report struct {
	// Total counts the workloads with proxies that can be moved; Moved those of them that have rolled out and have
	// proxies of the wanted revision only.
	Total, Moved int
	// MovedPods counts the pods of these that serve with a proxy of the wanted revision.
	MovedPods int
	// Restarting have been restarted and are not back yet; those of this pass are among them.
	Restarting []string
	// Waiting will be restarted when there is room.
	Waiting []string
	// Blocked cannot go on; each says why.
	Blocked []string
	// Skipped are never restarted by the operator; each says why. One entry may name pods that do not count, see istio.IsLost.
	Skipped []string
	// Fragile lose requests at any restart; each says why.
	Fragile []string
	// Check says that the workloads of the first namespaces have moved, and that the rest waits until somebody has looked
	// at how they run.
	Check bool
	// Done says that every workload that can be moved has moved.
	Done bool
	// Failed names a restarted workload that does not come back, and says why. Nothing is restarted while it is set.
	Failed string
}

// World is what the decision needs of a member.
type World struct {
	// Namespaces are the labels of each namespace.
	Namespaces map[string]map[string]string
	// Pods that have not finished.
	Pods []Pod
	// ReplicaSets give the owner of each, zero if it has none.
	ReplicaSets map[types.NamespacedName]Reference
	// Workloads are the Deployments, StatefulSets and DaemonSets.
	Workloads map[Reference]Workload
	// Gateways are the labels of each Gateway of the Gateway API, read only if a workload was made for one.
	Gateways map[types.NamespacedName]map[string]string
	// Budgets are the PodDisruptionBudgets.
	Budgets []Budget
}

// Reference names an object.
type Reference = member.Reference

// Pod is one pod.
type Pod struct {
	Namespace, Name string
	// Owner is the controller of the pod, zero for a bare pod.
	Owner Reference
	// Injection are the marks by which webhooks and injector choose.
	Injection Marks
	// Labels of the pod.
	Labels map[string]string
	// HasProxy says that it was injected, or made by istiod for a Gateway; Revision is by whose istiod.
	HasProxy bool
	Revision string
	// Node is where it runs, empty if nowhere yet.
	Node string
	// Leaves is when the pod is gone at the latest, zero if nobody deleted it.
	Leaves time.Time
	// Crash says which container does not stay up.
	Crash string
	// Consents says that it may be evicted whatever the method, by an annotation.
	Consents bool
	// UID of the pod, Created its time, Ready whether it serves.
	UID     types.UID
	Created time.Time
	Ready   bool
}

// Marks are what a pod says about its injection.
type Marks struct {
	// Revision is the label istio.io/rev.
	Revision string
	// In and Out say that the pod wants a proxy, or wants none, Labelled that it says either by a label.
	In, Out, Labelled bool
	// HostNetwork pods never get a proxy.
	HostNetwork bool
}

// Workload is a Deployment, StatefulSet or DaemonSet.
type Workload struct {
	Reference
	// Own says that the operator or another controller of the mesh made it.
	Own bool
	// Gateway names the Gateway for which istiod made it. Rendered is the revision of the istiod that wrote its template last.
	Gateway, Rendered string
	// Injection are the marks of the pods that it will make.
	Injection Marks
	// Consents says that its pods may be evicted whatever the method, by an annotation of its own or of its template.
	Consents bool
	// ByHand says that its template contains the proxy.
	ByHand bool
	// Settled says that the controller has seen the current template.
	Settled bool
	// Desired replicas; all that exist; those of the current template; those that serve.
	Desired, Existing, Updated, Available int32
	// Held says why a restart would change no pod.
	Held string
	// Stuck says why the controller gave up on the rollout.
	Stuck string
	// Obstacle says what keeps pods from being made.
	Obstacle string
	// FragileUpdate says why requests are lost when its pods are replaced by an update; FragilePods why they are whenever
	// a pod goes.
	FragileUpdate, FragilePods []string
	// Evictable is how many of its pods may be evicted at the same time.
	Evictable int32
	// RestartedFor is the revision of the last restart of the template by us, RestartedAt its time as it is written.
	RestartedFor, RestartedAt string
	// EvictedFor is the revision for which we have begun to evict its pods, EvictedAt when, as it is written.
	EvictedFor, EvictedAt string
	// Version is the resource version that was read.
	Version string
	// Target is the revision to move it to.
	Target string
	// Evict are the pods to evict now. None: it is restarted by its template.
	Evict []Pod
}

// IsComplete says that the rollout has ended well.
func (w *Workload) IsComplete() bool {
	return w.Settled && w.Updated == w.Desired && w.Existing == w.Desired && w.Available == w.Desired
}

// restartedSince says whether we restarted it less than a duration ago.
func (w *Workload) restartedSince(d time.Duration, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, w.RestartedAt)
	return err == nil && now.Sub(at) < d
}

// isReplaced says that istiod of the revision wrote its template and every pod is of that template, whether or not it serves.
func (w *Workload) isReplaced(revision string) bool {
	return w.Rendered == revision && w.Settled && w.Updated == w.Desired && w.Existing == w.Desired
}

// lastMove is the revision of the last restart or eviction by us, and when that was.
func (w *Workload) lastMove() (revision string, at time.Time) {
	restarted, errRestart := time.Parse(time.RFC3339, w.RestartedAt)
	evicted, errEviction := time.Parse(time.RFC3339, w.EvictedAt)
	if errEviction == nil && (errRestart != nil || evicted.After(restarted)) {
		return w.EvictedFor, evicted
	}
	return w.RestartedFor, restarted
}

// Budget is a PodDisruptionBudget.
type Budget struct {
	Namespace, Name string
	// Selector of pods.
	Selector labels.Selector
	// Allowed is how many pods may go now.
	Allowed int32
}

package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Readiness says when a mesh became ready.
type Readiness struct {
	// Mesh is the time from the call of WaitReady to Ready=True of the MeshInstallation.
	Mesh time.Duration
	// Members is the same for each MeshMember.
	Members map[string]time.Duration
}

// WaitReady waits for Ready=True of the MeshInstallation at its newest generation, with as many MeshMembers as the
// spec has members, all of them ready. It prints every condition that changes, with the time since the call.
func (e *Env) WaitReady(ctx context.Context, deadline time.Duration) (Readiness, error) {
	start := time.Now()
	result := Readiness{Members: map[string]time.Duration{}}
	watch := newConditionWatch(e)
	err := Await(ctx, "the mesh to be ready", deadline, func(ctx context.Context) (bool, string, error) {
		seen := watch.look(ctx)
		mesh, err := e.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		members, err := e.MeshMembers(ctx)
		if err != nil {
			return false, "", err
		}
		ready := 0
		for _, m := range members {
			if !isReady(m.Status.Conditions, m.Status.ObservedGeneration, m.Generation) {
				continue
			}
			ready++
			if _, known := result.Members[m.Spec.Cluster]; !known {
				result.Members[m.Spec.Cluster] = time.Since(start)
			}
		}
		done := ready == len(mesh.Spec.Members) && len(members) == ready &&
			isReady(mesh.Status.Conditions, mesh.Status.ObservedGeneration, mesh.Generation)
		return done, seen, nil
	})
	result.Mesh = time.Since(start)
	return result, err
}

// WaitCondition waits until a condition of a member's MeshMember is as wanted, and returns it.
func (e *Env) WaitCondition(ctx context.Context, member, conditionType string, wanted func(metav1.Condition) bool,
	deadline time.Duration,
) (metav1.Condition, error) {
	var found metav1.Condition
	what := fmt.Sprintf("condition %s of member %q", conditionType, member)
	err := Await(ctx, what, deadline, func(ctx context.Context) (bool, string, error) {
		m, err := e.MeshMember(ctx, member)
		if err != nil {
			return false, "", err
		}
		for _, c := range m.Status.Conditions {
			if c.Type == conditionType {
				found = c
				return wanted(c), describeCondition(c), nil
			}
		}
		return false, "no such condition", nil
	})
	return found, err
}

// conditionWatch prints conditions when they change.
type conditionWatch struct {
	env  *Env
	last map[string]string
	// seen are the objects that were looked at before.
	seen map[string]bool
}

func newConditionWatch(e *Env) *conditionWatch {
	return &conditionWatch{env: e, last: map[string]string{}, seen: map[string]bool{}}
}

// look prints what has changed since the last look and returns the Ready conditions of all objects in one line.
func (w *conditionWatch) look(ctx context.Context) string {
	var ready []string
	show := func(object string, conditions []metav1.Condition) {
		// Of what is ready already, Ready alone is worth a line.
		brief := !w.seen[object] && meta.IsStatusConditionTrue(conditions, meshv1alpha1.ConditionReady)
		w.seen[object] = len(conditions) > 0
		for _, c := range conditions {
			if brief && c.Type != meshv1alpha1.ConditionReady {
				w.last[object+"/"+c.Type] = describeCondition(c)
			}
			if c.Type == meshv1alpha1.ConditionReady {
				ready = append(ready, object+" "+describeCondition(c))
			}
			w.printChange(object, c)
		}
	}
	if mesh, err := w.env.Installation(ctx); err == nil {
		show("mesh/"+mesh.Name, mesh.Status.Conditions)
	}
	members, err := w.env.MeshMembers(ctx)
	if err != nil {
		return err.Error()
	}
	for _, m := range members {
		show("member/"+m.Spec.Cluster, m.Status.Conditions)
	}
	if len(ready) == 0 {
		return "no status yet"
	}
	return strings.Join(ready, "; ")
}

// printChange prints a change of Ready, which says what is awaited, and of the others what they gain and lose.
// What they still lack is in the message of Ready.
func (w *conditionWatch) printChange(object string, c metav1.Condition) {
	key := object + "/" + c.Type
	text, before := describeCondition(c), w.last[key]
	if text == before || c.Type == meshv1alpha1.ConditionReconciling {
		return
	}
	w.last[key] = text
	isTrue, wasTrue := c.Status == metav1.ConditionTrue, strings.HasPrefix(before, c.Type+"="+string(metav1.ConditionTrue))
	if c.Type == meshv1alpha1.ConditionReady || isTrue != wasTrue {
		w.env.Logf("  %-14s %s", object, text)
	}
}

func describeCondition(c metav1.Condition) string {
	text := fmt.Sprintf("%s=%s", c.Type, c.Status)
	if c.Reason != "" && c.Reason != meshv1alpha1.ReasonReady {
		text += " " + c.Reason
	}
	if c.Message != "" && c.Status != metav1.ConditionTrue {
		text += ": " + c.Message
	}
	return text
}

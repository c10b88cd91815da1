package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// gatewayGrace is how long a Gateway may be without what it had: its istiod changes, and so do its pods.
	gatewayGrace = 30 * time.Second
	// skew is by how much a member's clock may be behind the hub's.
	skew = 5 * time.Second

	programmed   = "Programmed"
	accepted     = "Accepted"
	resolvedRefs = "ResolvedRefs"
	// backendGone is why a route does not resolve its references when users have deleted what it leads to. Whether istiod
	// knows the endpoints that there are is for another gate.
	backendGone = "BackendNotFound"
)

// gatewaysProgrammed passes when every Gateway of the Gateway API that istiod keeps, and that was programmed when the tags
// moved, is so now, for what it asks for now, and what istiod runs for it serves. The same goes for the routes that are
// attached to it. A tag that moves takes Gateways from one istiod to another. What was in trouble before stops nothing.
func gatewaysProgrammed(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	istiods, err := readyIstiods(ctx, m, m.To)
	if err != nil || len(istiods) == 0 {
		return gate.NoIstiod(m.To), err
	}
	w, err := readGateways(ctx, m)
	if err != nil {
		return gate.Answer{}, err
	}
	if m.MovedAt.IsZero() {
		return gate.Inconclusive("unknown when the tags were moved"), nil
	}
	return judgeGateways(m, w), nil
}

// standing is the state of something compared with its state when the tags moved.
type standing int

const (
	isWell standing = iota
	// wasBefore means that it was not well then either, or did not exist.
	wasBefore
	// isYoung means that it has been unwell for a moment only.
	isYoung
	// isUnclear means that it was well then, but has been changed, or that its state is unknown.
	isUnclear
	isLost
)

// gatewayTally sorts Gateways and routes by how they stand.
type gatewayTally map[standing][]string

func (t gatewayTally) add(s standing, format string, args ...any) {
	t[s] = append(t[s], fmt.Sprintf(format, args...))
}

func judgeGateways(m *gate.Subject, w gatewayWorld) gate.Answer {
	switch {
	case !w.isThere:
		return gate.Pass("no Gateway API")
	case len(w.gateways) == 0:
		return gate.Pass("no Gateway of Istio's")
	}
	gateways, routes := gatewayTally{}, gatewayTally{}
	ours := map[types.NamespacedName]bool{}
	for i := range w.gateways {
		g := &w.gateways[i]
		key := types.NamespacedName{Namespace: g.Namespace, Name: g.Name}
		s, why := judgeGateway(m, g, w.deployments[key])
		gateways.add(s, "Gateway %s%s", key, why)
		ours[key] = s != wasBefore
	}
	for i := range w.routes {
		if s, why, isOurs := judgeRoute(m, &w.routes[i], ours); isOurs {
			routes.add(s, "HTTPRoute %s/%s%s", w.routes[i].Namespace, w.routes[i].Name, why)
		}
	}
	both := func(s standing) []string { return slices.Concat(gateways[s], routes[s]) }
	lost := both(isLost)
	switch {
	case len(lost) > 0:
		return gate.Fail("since the tags moved: %s", mesh.Capped(lost)).Measured(float64(len(lost)), gate.NoneAllowed)
	case len(both(isUnclear)) > 0:
		return gate.Inconclusive("%s", mesh.Capped(both(isUnclear)))
	case len(both(isYoung)) > 0:
		return gate.Pending("%s", mesh.Capped(both(isYoung)))
	}
	message := fmt.Sprintf("%s programmed, %s accepted", gate.Count(len(gateways[isWell]), gatewayKind), gate.Count(len(routes[isWell]), "HTTPRoute"))
	if len(gateways[wasBefore]) > 0 {
		message += "; not when the tags moved either: " + mesh.Capped(gateways[wasBefore])
	}
	return gate.Pass("%s", message).Measured(0, gate.NoneAllowed)
}

func judgeGateway(m *gate.Subject, g *apiGateway, d *appsv1.Deployment) (s standing, why string) {
	written := writtenAt(&g.ObjectMeta)
	c := meta.FindStatusCondition(g.Status.Conditions, programmed)
	switch {
	case c == nil && isSinceMove(m, g.CreationTimestamp.Time):
		return wasBefore, ": is new"
	case c == nil:
		return isUnclear, " has no condition " + programmed
	case c.Status != metav1.ConditionTrue:
		s = standingSince(m, c.LastTransitionTime.Time, g.CreationTimestamp.Time, written)
		return s, fmt.Sprintf(": %s is %s, %s: %s%s", programmed, c.Status, c.Reason, mesh.Shorten(c.Message, 200), changed(s))
	case c.ObservedGeneration < g.Generation && m.Now.Sub(written) < gatewayGrace:
		return isYoung, ": istiod has not seen its change yet"
	case c.ObservedGeneration < g.Generation:
		return isUnclear, fmt.Sprintf(": istiod has seen its generation %d, it is at %d", c.ObservedGeneration, g.Generation)
	case d == nil:
		// It has a workload of its users', or none: then istiod finds no endpoint of its Service, and it is not programmed.
		return isWell, ""
	}
	return judgeDeployment(m, g, d)
}

func judgeDeployment(m *gate.Subject, g *apiGateway, d *appsv1.Deployment) (s standing, why string) {
	i := slices.IndexFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentAvailable })
	switch {
	case d.Status.ObservedGeneration < d.Generation:
		return isYoung, ": its Deployment has just been changed"
	case i < 0:
		return isUnclear, fmt.Sprintf(": unknown whether its Deployment %s is available", d.Name)
	case d.Status.Conditions[i].Status != corev1.ConditionTrue:
		c := d.Status.Conditions[i]
		// What istiod writes is no change of the user's.
		s = standingSince(m, c.LastTransitionTime.Time, g.CreationTimestamp.Time, time.Time{})
		return s, fmt.Sprintf(": its Deployment %s is not available, %s: %s", d.Name, c.Reason, mesh.Shorten(c.Message, 200))
	}
	return isWell, ""
}

// judgeRoute reads the conditions that istiod sets on a route at Gateways that count. The worst decides.
func judgeRoute(m *gate.Subject, r *httpRoute, ours map[types.NamespacedName]bool) (s standing, why string, isOurs bool) {
	for i := range r.Status.Parents {
		p := &r.Status.Parents[i]
		key, isGateway := p.gatewayOf(r)
		if !isGateway || !ours[key] || !strings.HasPrefix(p.ControllerName, istioControllers) {
			continue
		}
		isOurs = true
		for _, kind := range []string{accepted, resolvedRefs} {
			c := meta.FindStatusCondition(p.Conditions, kind)
			if c == nil || c.Status != metav1.ConditionFalse || c.Reason == backendGone {
				continue
			}
			if found := standingSince(m, c.LastTransitionTime.Time, r.CreationTimestamp.Time, writtenAt(&r.ObjectMeta)); found > s {
				s, why = found, fmt.Sprintf(" at Gateway %s: %s is %s, %s: %s%s", key, kind, c.Status, c.Reason, mesh.Shorten(c.Message, 200), changed(found))
			}
		}
	}
	return s, why, isOurs
}

// standingSince is the standing of something that has not been well since a time.
func standingSince(m *gate.Subject, at, created, written time.Time) standing {
	switch {
	case !isSinceMove(m, at), isSinceMove(m, created):
		return wasBefore
	case isSinceMove(m, written):
		return isUnclear
	case m.Now.Sub(at) < gatewayGrace:
		return isYoung
	}
	return isLost
}

// isSinceMove reports whether the tags had moved at a time that is written in the member.
func isSinceMove(m *gate.Subject, at time.Time) bool { return !at.Before(m.MovedAt.Add(-skew)) }

func changed(s standing) string {
	if s == isUnclear {
		return "; it was changed since the tags moved"
	}
	return ""
}

package workloads

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// defaultGrace is the grace period in seconds of a pod that names none.
const defaultGrace = 30

// Fragility says why a workload loses requests whenever it is restarted, by whomever.
type Fragility struct {
	Workload Reference
	Reasons  []string
}

// FragileWorkloads are the workloads that the request moves and that lose requests at any restart, in the order of
// restarts. With tags that have not been moved yet it foretells what moving them will cost.
func FragileWorkloads(w World, r Request) []Fragility {
	var found []Fragility
	for _, c := range candidates(w, r) {
		if reasons := c.fragile(); len(reasons) > 0 && !c.isGone() && c.reasonToSkip() == "" {
			found = append(found, Fragility{Workload: c.ref, Reasons: reasons})
		}
	}
	return found
}

// fragile says why the workload loses requests, moved as the request says.
func (c *candidate) fragile() []string {
	switch {
	case !c.evicts:
		return slices.Concat(c.workload.FragileUpdate, c.workload.FragilePods)
	case c.workload.Desired == 1:
		return append([]string{"one replica, which is evicted before another one runs"}, c.workload.FragilePods...)
	}
	return c.workload.FragilePods
}

// replacement is how a workload replaces its pods: how many it may have more, and how many fewer, than desired.
type replacement struct {
	desired, more, fewer int32
	// recreates says that all go before any comes.
	recreates bool
}

func deploymentReplacement(d *appsv1.Deployment) replacement {
	desired := replicas(d.Spec.Replicas)
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return replacement{desired: desired, recreates: true}
	}
	surge, unavailable := "25%", "25%"
	if update := d.Spec.Strategy.RollingUpdate; update != nil {
		surge, unavailable = written(update.MaxSurge, surge), written(update.MaxUnavailable, unavailable)
	}
	r := replacement{desired: desired, more: scaled(surge, desired, true), fewer: scaled(unavailable, desired, false)}
	if r.more == 0 && r.fewer == 0 {
		// So does the Deployment's controller, or nothing would ever move.
		r.fewer = 1
	}
	return r
}

// statefulSetReplacement: a pod keeps its name, so the old one goes first.
func statefulSetReplacement(s *appsv1.StatefulSet) replacement {
	r := replacement{desired: replicas(s.Spec.Replicas), fewer: 1}
	if update := s.Spec.UpdateStrategy.RollingUpdate; update != nil && update.MaxUnavailable != nil {
		r.fewer = max(scaled(update.MaxUnavailable.String(), r.desired, true), 1)
	}
	return r
}

func daemonSetReplacement(d *appsv1.DaemonSet) replacement {
	surge, unavailable := "0", "1"
	if update := d.Spec.UpdateStrategy.RollingUpdate; update != nil {
		surge, unavailable = written(update.MaxSurge, surge), written(update.MaxUnavailable, unavailable)
	}
	desired := d.Status.DesiredNumberScheduled
	return replacement{desired: desired, more: scaled(surge, desired, true), fewer: scaled(unavailable, desired, true)}
}

// fragile says why nobody may serve for a moment. An update that may take away as many as there are leaves none, however
// many it adds: it does not wait for those.
func (r replacement) fragile() []string {
	switch {
	case r.recreates:
		return []string{"strategy Recreate stops all replicas first"}
	case r.fewer < r.desired:
		return nil
	case r.desired == 1 && r.more == 0:
		return []string{"one replica and no surge"}
	case r.desired == 1:
		return []string{"one replica, which may stop before the new one serves"}
	}
	return []string{fmt.Sprintf("the update may stop all %d replicas at the same time", r.desired)}
}

// evictable is how many pods may be evicted at the same time: no more than an update would take away, and never all.
func (r replacement) evictable() int32 { return max(min(r.fewer, r.desired-1), 1) }

func written(v *intstr.IntOrString, otherwise string) string {
	if v == nil {
		return otherwise
	}
	return v.String()
}

// scaled resolves a number or a percentage. The API server lets nothing else through; zero would be the careful answer.
func scaled(v string, total int32, up bool) int32 {
	parsed := intstr.Parse(v)
	n, err := intstr.GetScaledValueFromIntOrPercent(&parsed, int(total), up)
	if err != nil {
		return 0
	}
	return int32(min(n, int(total))) //nolint:gosec // not above total, which is an int32
}

// fragilePod says why a pod loses requests when it goes or comes.
func fragilePod(s *corev1.PodSpec) []string {
	own := slices.DeleteFunc(slices.Clone(s.Containers), func(c corev1.Container) bool { return c.Name == proxyContainer })
	if len(own) == 0 {
		// A gateway: the injector gives it a probe and a drain.
		return nil
	}
	var found []string
	if !slices.ContainsFunc(own, func(c corev1.Container) bool { return c.Lifecycle != nil && c.Lifecycle.PreStop != nil }) {
		found = append(found, "no preStop delay")
	}
	if !slices.ContainsFunc(own, func(c corev1.Container) bool { return c.ReadinessProbe != nil }) {
		found = append(found, "no readiness probe")
	}
	grace := int64(defaultGrace)
	if s.TerminationGracePeriodSeconds != nil {
		grace = *s.TerminationGracePeriodSeconds
	}
	var longest int64
	for i := range own {
		longest = max(longest, delay(&own[i]))
	}
	switch {
	case grace == 0:
		found = append(found, "a grace period of 0s kills it at once")
	case longest >= grace:
		found = append(found, fmt.Sprintf("its preStop delay of %ds takes all of its grace period of %ds", longest, grace))
	}
	return found
}

// delay is how many seconds a container's preStop sleeps, as far as that is to be seen: by the action, or by a command
// that is nothing but `sleep <seconds>`.
func delay(c *corev1.Container) int64 {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return 0
	}
	hook := c.Lifecycle.PreStop
	if hook.Sleep != nil {
		return hook.Sleep.Seconds
	}
	if hook.Exec == nil {
		return 0
	}
	words := hook.Exec.Command
	if len(words) == 3 && words[1] == "-c" {
		words = strings.Fields(words[2])
	}
	if len(words) != 2 || words[0][strings.LastIndexByte(words[0], '/')+1:] != "sleep" {
		return 0
	}
	seconds, err := strconv.ParseInt(strings.TrimSuffix(words[1], "s"), 10, 64)
	if err != nil {
		return 0
	}
	return seconds
}

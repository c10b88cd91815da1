package workloads

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/member"
)

func TestForesee(t *testing.T) {
	fragileOne := func(p *part) {
		p.Desired, p.FragileUpdate, p.FragilePods = 1, []string{"one replica"}, []string{"no preStop delay"}
	}
	cases := map[string]struct {
		world World
		want  Forecast
	}{
		"a member without proxies": {world: clusterWith(deployment("plain", pods("", "")))},
		"workloads that have moved need nothing": {
			world: clusterWith(deployment("moved", pods(target, target), fragileOne))},
		"workloads of the former revision are restarted, in the order of their names": {
			world: clusterWith(deployment("web"), deployment("api", pods(former, former, former)), deployment("moved", pods(target))),
			want:  Forecast{Restarts: []string{"Deployment demo/api", "Deployment demo/web"}, Pods: 5}},
		"what loses requests at any restart says why": {
			world: clusterWith(deployment("web", pods(former), fragileOne)),
			want: Forecast{Restarts: []string{"Deployment demo/web"}, Pods: 1,
				Fragile: []string{"Deployment demo/web: one replica, no preStop delay"}}},
		"budgets that allow nothing now are named once": {
			world: clusterWith(deployment("web"), budget("strict", "web", 0), budget("loose", "web", 1), budget("others", "db", 0)),
			want:  Forecast{Restarts: []string{"Deployment demo/web"}, Pods: 2, Budgets: []string{"demo/strict"}}},
		"what is never restarted is not foreseen": {
			world: clusterWith(loose(Reference{Kind: member.KindJob, Namespace: "demo", Name: "batch"}, "batch-1"), loose(Reference{}, "bare"))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Foresee(c.world, request())); diff != "" {
				t.Errorf("forecast (-want +got):\n%s", diff)
			}
		})
	}
}

package builtin

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/configdiff"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	formerPod, newPod = "istiod-1-28-3-0", "istiod-1-29-1-0"
	knownTypes        = `[{"proxy":"client-0.demo","proxy_type":"sidecar"},{"proxy":"gw-0.istio-system","proxy_type":"router"}]`
	knownProxies      = `{"clients":[
	  {"connectionId":"client-0.demo-1","labels":{"app":"client"},"metadata":{"NAMESPACE":"demo","CLUSTER_ID":"east","INSTANCE_IPS":"10.1.0.9"}},
	  {"connectionId":"gw-0.istio-system-2","labels":{"istio":"gw"},"metadata":{"NAMESPACE":"istio-system","CLUSTER_ID":"east"}}]}`
)

type envoyConfig = testutil.EnvoyConfig

// regressions are the two bad targets that no other gate sees for sure, and one of each kind of loss besides.
var regressions = map[string]struct {
	edit func(*envoyConfig)
	want string
}{
	"the mesh configuration drops mutual TLS": {func(c *envoyConfig) {
		for _, cluster := range c.Clusters {
			cluster.TransportSocketMatches = nil
		}
	}, "TLSWeakened: to endpoints with tlsMode=istio: mutual TLS is gone: cluster outbound|5432||db.demo.svc.cluster.local, " +
		"cluster outbound|80||api.demo.svc.cluster.local and 1 more, seen by client-0.demo"},
	"a peer cannot be read": {func(c *envoyConfig) {
		c.Clusters, c.Endpoints = c.Clusters[:1], []*testutil.Endpoints{testutil.Assignment(testutil.WebCluster, "10.1.0.1", "10.1.0.2")}
	}, "ClustersLost: is gone: cluster PassthroughCluster, cluster inbound|8080|| and 2 more, seen by client-0.demo; " +
		"EndpointsLost: no longer leads to 172.30.0.9:8080: cluster outbound|80||web.demo.svc.cluster.local, seen by client-0.demo"},
	"a listener is lost": {func(c *envoyConfig) { c.Listeners = c.Listeners[1:] },
		"ListenersLost: is gone: listener 0.0.0.0_80 (0.0.0.0:80), seen by client-0.demo"},
	"routes are lost": {func(c *envoyConfig) { c.Routes[0].VirtualHosts = c.Routes[0].VirtualHosts[1:] },
		"RoutesLost: is gone: routes 80, host web.demo.svc.cluster.local:80, seen by client-0.demo"},
}

// lab is a member with two istiods, that of the former and that of the new revision.
type lab struct {
	api         *testutil.Cluster
	former, new *testutil.ADS
	member      gate.Subject
}

// configure is what an istiod sends: to sidecars the configuration, to gateways nothing.
func configure(config func() envoyConfig) *testutil.ADS {
	return &testutil.ADS{Resources: func(node *corev3.Node) []proto.Message {
		if strings.HasPrefix(node.GetId(), "sidecar~") {
			return config().Messages()
		}
		return nil
	}}
}

func newLab(t *testing.T, changed func() envoyConfig) *lab {
	t.Helper()
	l := &lab{api: testutil.NewCluster(t), former: configure(testutil.SidecarConfig), new: configure(changed), member: *gatetest.Subject()}
	l.api.Forward(formerPod, "15010", l.former.Serve(t))
	l.api.Forward(newPod, "15010", l.new.Serve(t))
	l.api.Listen(t, formerPod, "15014", map[string]string{"/debug/syncz": knownTypes, "/debug/adsz": knownProxies})
	l.member.Config = l.api.Config()
	l.has(istiodPod(formerPod, "1-28-3", time.Hour), istiodPod(newPod, "1-29-1", time.Hour))
	return l
}

// has makes these the objects of the member, besides the pods of the proxies.
func (l *lab) has(objects ...client.Object) {
	l.member.Client = fake.NewClientBuilder().WithObjects(append(objects, proxyPod("client-0", "demo"), proxyPod("gw-0", "istio-system"))...).Build()
}

func proxyPod(name, namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
}

func istiodPod(name, revision string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system", Labels: map[string]string{"app": "istiod", "istio.io/rev": revision}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-age))}}},
	}
}

// ask asks until an answer counts.
func (l *lab) ask(t *testing.T, specs ...meshv1alpha1.Gate) gate.Answer {
	t.Helper()
	l.member.Looks = &gate.Looks{}
	if a := l.look(t, specs...); a.Verdict != meshv1alpha1.VerdictPending || !strings.Contains(a.Message, "compares again") {
		return a
	}
	return l.look(t, specs...)
}

// look asks once.
func (l *lab) look(t *testing.T, specs ...meshv1alpha1.Gate) gate.Answer {
	t.Helper()
	for _, g := range BeforeTraffic(specs) {
		if g.Name() == configDiffName {
			return g.Ask(t.Context(), l.member)
		}
	}
	t.Fatal("ConfigDiff is not asked before traffic")
	return gate.Answer{}
}

func TestConfigDiffFindsRegressions(t *testing.T) {
	for name, test := range regressions {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func() envoyConfig {
				c := testutil.SidecarConfig()
				test.edit(&c)
				return c
			})
			got := l.ask(t)
			gatetest.Check(t, got, meshv1alpha1.VerdictFail, "2 of 2 kinds of proxies compared; "+test.want)
			if want := fmt.Sprint(strings.Count(test.want, "; ") + 1); got.Value != want || got.Threshold != "<= 0" {
				t.Errorf("value %s, threshold %s; want %s, <= 0", got.Value, got.Threshold, want)
			}
		})
	}
}

func TestConfigDiffPasses(t *testing.T) {
	l := newLab(t, func() envoyConfig {
		c := testutil.SidecarConfig()
		slices.Reverse(c.Clusters)
		c.Endpoints[0] = testutil.Assignment(testutil.WebCluster, "10.1.0.1", "10.1.0.2", "10.1.0.7", "172.30.0.9")
		return c
	})
	got := l.ask(t)
	gatetest.Check(t, got, meshv1alpha1.VerdictPass, "2 of 2 kinds of proxies compared; other differences: Added: also leads to ")
	// Each istiod has seen twins, whose address is no pod's, and nothing was rejected.
	for _, ads := range []*testutil.ADS{l.former, l.new} {
		said := strings.Join(ads.Said(), "\n")
		for _, want := range []string{"sidecar~192.0.2.1~client-0.demo~", "router~192.0.2.1~gw-0.istio-system~"} {
			if !strings.Contains(said, want) {
				t.Errorf("istiod has not been asked by %s:\n%s", want, said)
			}
		}
		if strings.Contains(said, "10.1.0.9~") || strings.Contains(said, "nack") {
			t.Errorf("istiod has been asked from a real proxy's address, or something was rejected:\n%s", said)
		}
	}
	eventually(t, func() bool { return l.former.Open()+l.new.Open() == 0 && l.api.Open.Load() == 0 })
}

// eventually waits for what ends by itself a moment later.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for range 100 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("a stream or a tunnel is still open")
}

func TestConfigDiffIsConfigured(t *testing.T) {
	l := newLab(t, func() envoyConfig {
		c := testutil.SidecarConfig()
		c.Clusters = c.Clusters[1:]
		return c
	})
	spec := func(c meshv1alpha1.ConfigDiffGate) meshv1alpha1.Gate {
		return meshv1alpha1.Gate{Name: configDiffName, ConfigDiff: &c}
	}
	gatetest.Check(t, l.ask(t, spec(meshv1alpha1.ConfigDiffGate{FailOn: []meshv1alpha1.ConfigDiffClass{"TLSWeakened"}})),
		meshv1alpha1.VerdictPass, "2 of 2 kinds of proxies compared; other differences: ClustersLost: is gone (1)")
	gatetest.Check(t, l.ask(t, spec(meshv1alpha1.ConfigDiffGate{FailOn: []meshv1alpha1.ConfigDiffClass{"ClustersLost"}, Sample: 1})),
		meshv1alpha1.VerdictFail, "1 of 2 kinds of proxies compared; ClustersLost")
}

// What is unsafe does not get better with time.
func TestConfigDiffDoesNotWaitForWhatIsUnsafe(t *testing.T) {
	l := newLab(t, func() envoyConfig {
		c := testutil.SidecarConfig()
		c.Clusters[0].TransportSocketMatches = nil
		return c
	})
	l.has(istiodPod(formerPod, "1-28-3", time.Hour), istiodPod(newPod, "1-29-1", time.Second))
	gatetest.Check(t, l.ask(t), meshv1alpha1.VerdictFail, "TLSWeakened")
}

// An istiod that has answered well is left alone for a while, even if the upgrade waits for other gates.
func TestConfigDiffHasAPaceOfItsOwn(t *testing.T) {
	l := newLab(t, testutil.SidecarConfig)
	var results []meshv1alpha1.GateResult
	for i, test := range []struct {
		after time.Duration
		asked bool
	}{{0, true}, {time.Second, false}, {59 * time.Second, false}, {61 * time.Second, true}} {
		before := len(l.new.Said())
		results = gate.Evaluate(t.Context(), []gate.Gate{newConfigDiff(nil)}, l.member, results, now.Add(test.after))
		if asked := len(l.new.Said()) > before; asked != test.asked || results[0].Verdict != meshv1alpha1.VerdictPass {
			t.Errorf("question %d: %s, istiod was asked: %v, want %v", i, results[0].Verdict, asked, test.asked)
		}
	}
}

// A proxy whose pod is gone, or that is of another cluster, is none that istiod can be asked about.
func TestConfigDiffComparesPodsOnly(t *testing.T) {
	l := newLab(t, testutil.SidecarConfig)
	l.api.Listen(t, formerPod, "15014", map[string]string{
		"/debug/syncz": `[{"proxy":"vm.demo","proxy_type":"sidecar"},{"proxy":"client-0.demo","proxy_type":"sidecar"},{"proxy":"gw-0.istio-system","proxy_type":"router"}]`,
		"/debug/adsz": `{"clients":[{"connectionId":"vm.demo-1","metadata":{"NAMESPACE":"demo","CLUSTER_ID":"east"}},
			{"connectionId":"client-0.demo-2","metadata":{"NAMESPACE":"demo","CLUSTER_ID":"west"}},
			{"connectionId":"gw-0.istio-system-3","metadata":{"NAMESPACE":"istio-system","CLUSTER_ID":"east"}}]}`})
	gatetest.Check(t, l.ask(t), meshv1alpha1.VerdictPass, "1 of 1 kind of proxies compared")
}

func TestConfigDiffLooksTwice(t *testing.T) {
	var asked atomic.Int64
	l := newLab(t, func() envoyConfig {
		c := testutil.SidecarConfig()
		// An endpoint that has only just become known is asked for once in vain.
		if asked.Add(1) <= 4 {
			c.Endpoints[1].Endpoints = nil
		}
		return c
	})
	gatetest.Check(t, l.look(t), meshv1alpha1.VerdictPending, "compares again")
	gatetest.Check(t, l.look(t), meshv1alpha1.VerdictPass, "2 of 2 kinds")
}

// What is bad stays bad, look after look, until it is gone: else it would never have failed for long enough.
func TestConfigDiffFailsForAsLongAsItIsBad(t *testing.T) {
	var isGood atomic.Bool
	l := newLab(t, func() envoyConfig {
		c := testutil.SidecarConfig()
		if !isGood.Load() {
			c.Clusters = c.Clusters[1:]
		}
		return c
	})
	gatetest.Check(t, l.look(t), meshv1alpha1.VerdictPending, "ClustersLost")
	for range 3 {
		gatetest.Check(t, l.look(t), meshv1alpha1.VerdictFail, "ClustersLost")
	}
	isGood.Store(true)
	gatetest.Check(t, l.look(t), meshv1alpha1.VerdictPass, "2 of 2 kinds")
}

func TestConfigDiffWithoutAnAnswer(t *testing.T) {
	broken := func() envoyConfig {
		c := testutil.SidecarConfig()
		c.Clusters = c.Clusters[1:]
		return c
	}
	injected := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "late-0", Namespace: "demo",
		Labels: map[string]string{gate.InjectedLabel: "client"}, Annotations: map[string]string{istio.RevisionLabel: "1-28-3"}}}
	former, fresh := istiodPod(formerPod, "1-28-3", time.Hour), istiodPod(newPod, "1-29-1", time.Hour)
	noProxies := map[string]string{"/debug/syncz": "[]", "/debug/adsz": "{}"}
	tests := map[string]struct {
		prepare func(*testing.T, *lab)
		want    meshv1alpha1.Verdict
		words   string
	}{
		"nothing to compare with":      {func(_ *testing.T, l *lab) { l.member.From = "" }, meshv1alpha1.VerdictPass, "no former revision"},
		"the former istiod is not up":  {func(_ *testing.T, l *lab) { l.has(fresh) }, meshv1alpha1.VerdictInconclusive, "no istiod pod of revision 1-28-3"},
		"the new istiod is not up":     {func(_ *testing.T, l *lab) { l.has(former) }, meshv1alpha1.VerdictInconclusive, "no istiod pod of revision 1-29-1"},
		"the new istiod has just come": {func(_ *testing.T, l *lab) { l.has(former, istiodPod(newPod, "1-29-1", time.Second)) }, meshv1alpha1.VerdictPending, "just started"},
		"there are no proxies": {func(t *testing.T, l *lab) { l.api.Listen(t, formerPod, "15014", noProxies) },
			meshv1alpha1.VerdictPass, "revision 1-28-3 has no proxies"},
		"no proxy is connected": {func(t *testing.T, l *lab) {
			l.api.Listen(t, formerPod, "15014", noProxies)
			l.has(former, fresh, injected)
		}, meshv1alpha1.VerdictInconclusive, "no proxy of revision 1-28-3 is connected to its istiod, but 1 pod has one"},
		"istiod has no port for it": {func(_ *testing.T, l *lab) { l.api.Forward(newPod, "15010", "") },
			meshv1alpha1.VerdictError, fmt.Sprintf("istiod pod %s: ask istiod on port 15010", newPod)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, broken)
			test.prepare(t, l)
			gatetest.Check(t, l.ask(t), test.want, test.words)
		})
	}
}

// The API accepts the classes that there are, in their order.
func TestConfigDiffClassesAreTheAPIs(t *testing.T) {
	source, err := os.ReadFile(testutil.InRepository("api", "v1alpha1", "upgrade_types.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, class := range configdiff.Classes() {
		names = append(names, string(class))
	}
	rule := "c in ['" + strings.Join(names, "', '") + "']"
	if !strings.Contains(string(source), rule) {
		t.Errorf("the rule of spec.upgrade.gates[].configDiff.failOn has no %q", rule)
	}
}

// A peer that cannot be reached takes endpoints away, and with them the names that are checked. What has nothing to do with it
// fails all the same.
func TestConfigDiffWhilePeersAreDown(t *testing.T) {
	lost, weaker := configdiff.Finding{Class: configdiff.EndpointsLost}, configdiff.Finding{Class: configdiff.TLSWeakened}
	for name, test := range map[string]struct {
		found []configdiff.Finding
		down  []string
		want  meshv1alpha1.Verdict
	}{
		"endpoints are lost":                            {[]configdiff.Finding{lost}, nil, meshv1alpha1.VerdictFail},
		"endpoints are lost while a peer is down":       {[]configdiff.Finding{lost}, []string{"west"}, meshv1alpha1.VerdictInconclusive},
		"names are lost with them while a peer is down": {[]configdiff.Finding{lost, weaker}, []string{"west"}, meshv1alpha1.VerdictInconclusive},
		"names alone are lost while a peer is down":     {[]configdiff.Finding{weaker}, []string{"west"}, meshv1alpha1.VerdictFail},
	} {
		t.Run(name, func(t *testing.T) {
			report := &configdiff.Report{}
			report.Add("echo.demo", test.found)
			g := configDiff{classes: configdiff.Classes()}
			gatetest.Check(t, g.judge(configLook{sample: make([]istiod.Client, 1), kinds: 1, report: report}, false, test.down), test.want, "1 of 1 kind of proxies compared")
		})
	}
}

func TestNoSampleWithGatewaysOnly(t *testing.T) {
	pod := func(name string, labels map[string]string) *corev1.Pod {
		labels[gate.InjectedLabel] = "x"
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: name, Labels: labels, Annotations: map[string]string{istio.RevisionLabel: "1-28-3"},
		}}
	}
	gateway := pod("web", map[string]string{istio.ManagedGatewayLabel: "x"})
	for name, want := range map[string]meshv1alpha1.Verdict{"": meshv1alpha1.VerdictPass, "app": meshv1alpha1.VerdictInconclusive} {
		m, objects := gatetest.Subject(), []client.Object{gateway}
		if name != "" {
			objects = append(objects, pod(name, map[string]string{}))
		}
		m.Client = fake.NewClientBuilder().WithObjects(objects...).Build()
		got, err := judgeNoSample(t.Context(), m)
		if err != nil || got.Verdict != want {
			t.Errorf("with pods %v: %s %s, %v; want %s", strings.TrimSpace("web "+name), got.Verdict, got.Message, err, want)
		}
	}
}

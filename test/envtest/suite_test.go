package envtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/onsi/gomega"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

const (
	assetsVariable = "KUBEBUILDER_ASSETS"
	chartsDir      = "../../bin/charts"
	configDir      = "../../config"

	// deadline bounds a wait for something that takes a second or two on an idle machine.
	deadline = 90 * time.Second
	polling  = 100 * time.Millisecond
)

var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, cmv1.AddToScheme, networkingv1.AddToScheme,
		securityv1.AddToScheme, meshv1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}

// suite is one hub with its operator and the members' clusters.
type suite struct {
	hub      *cluster
	members  map[string]*cluster
	operator *operator
	// charts are those with which the next operator renders.
	charts charts.Renderer
	log    *journal
	// playsMembers says that the test plays members: the operator does not reconcile them.
	playsMembers bool
}

// TestMesh is one story. Each part starts from what the one before has left behind.
func TestMesh(t *testing.T) {
	s := newSuite(t)
	s.runParts(t, []part{
		{"admission", s.admission},
		{"documented defaults", s.defaults},
		{"install", s.install},
		{"steady state", s.steadyState},
		{"operator that renders differently", s.rendersDifferently},
		{"operator that does not know the release", s.doesNotKnow},
		{"drift", s.drift},
		{"drift on the hub", s.hubDrift},
		{"root lost", s.rootLost},
		{"hub restored without status", s.restored},
		{"operator that knows the release again", s.knowsAgain},
		{"gateway settings", s.gatewaySettings},
		{"tag renamed", s.renameTag},
		{"change of a serving mesh whose release is not known", s.changeOfUnknown},
		{"refused objects", s.refusedObjects},
		{"kubeconfigs that do not work", s.kubeconfigs},
		{"one cluster twice", s.twin},
		{"member with obstacles joins", s.join},
		{"member leaves", s.leave},
		{"member that does not answer is let go", s.letGo},
		{"MeshMember deleted by hand", s.deleteByHand},
		{"deletion", s.deletion},
		{"hub as a member", s.local},
		{"hub beside another member", s.hubBeside},
		{"permissions", s.permissions},
		{"secrets", s.secrets},
	})
}

// part is one part of a story.
type part struct {
	name string
	run  func(*testing.T)
}

// runParts runs the parts of a story in order. Each starts from what those before it leave behind, so that the first failure ends the story.
func (s *suite) runParts(t *testing.T, parts []part) {
	t.Helper()
	for _, p := range parts {
		start := time.Now()
		if !t.Run(p.name, p.run) {
			t.Logf("%s=<file> keeps the operator's whole log; its end is:\n%s", logVariable, s.log.end())
			t.Fatalf("the parts after %q start from what it leaves behind", p.name)
		}
		t.Logf("%s: %s", p.name, time.Since(start).Round(100*time.Millisecond))
	}
}

// needAssets ends a test that cannot run.
func needAssets(t *testing.T) {
	t.Helper()
	if os.Getenv(assetsVariable) == "" {
		t.Fatalf("%s is not set: it must name a directory with etcd and kube-apiserver. "+
			"`make test` sets it; by hand: export %s=$(bin/labctl env)", assetsVariable, assetsVariable)
	}
	if _, err := os.Stat(filepath.Join(chartsDir, version)); err != nil {
		t.Fatalf("the charts of Istio %s are missing, run `make charts`: %v", version, err)
	}
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	needAssets(t)
	s := &suite{members: map[string]*cluster{}, charts: charts.NewLibrary(chartsDir), log: newJournal(t)}
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, name := range []string{hubName, "east", "west", "north"} {
		wg.Go(func() {
			c, err := startCluster(t, name)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("start the API server of %s: %w", name, err))
			case name == hubName:
				s.hub = c
			default:
				s.members[name] = c
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Logf("four API servers started in %s", time.Since(start).Round(100*time.Millisecond))
	for _, c := range s.clusters() {
		play(t, c)
	}
	issue(t, s.hub)
	collect(t, s.hub)
	s.operator = s.startOperator(t)
	t.Cleanup(func() { s.operator.stop(t) })
	return s
}

// await waits until check returns nil.
func await(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	start := time.Now()
	gomega.NewWithT(t).Eventually(t.Context(), check).WithTimeout(deadline).WithPolling(polling).
		Should(gomega.Succeed(), "waiting: %s", what)
	t.Logf("%s: after %s", what, time.Since(start).Round(10*time.Millisecond))
}

// must ends the test when a step of its own fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

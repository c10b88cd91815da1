package pinning

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/charts/chartstest"
	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// patch is a patch that is not in the operator's image.
const patch = "1.30.9"

// hub is a hub with a clock.
type hub struct {
	t     *testing.T
	store client.Client
	pins  *Pins
	now   time.Time
}

func newHub(t *testing.T) *hub {
	t.Helper()
	s := runtime.NewScheme()
	testutil.Must(t, errors.Join(meshv1alpha1.AddToScheme(s), corev1.AddToScheme(s)))
	h := &hub{t: t, store: fake.NewClientBuilder().WithScheme(s).Build(), now: testutil.Now}
	h.restart()
	return h
}

// restart begins with a new process: nothing is in memory.
func (h *hub) restart() {
	archives := Archives{Reader: h.store, Writer: h.store, Namespace: testutil.Namespace}
	h.pins = &Pins{Reader: h.store, Archives: archives, Now: func() time.Time { return h.now }}
}

// put stores packaged charts in a Secret as a user does.
func (h *hub) put(name string, archives []fetch.Archive) {
	h.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.Namespace}, Data: map[string][]byte{}}
	for _, a := range archives {
		secret.Data[a.Name+"-"+a.Version+".tgz"] = a.Data
	}
	testutil.Must(h.t, client.IgnoreNotFound(h.store.Delete(h.t.Context(), secret.DeepCopy())))
	testutil.Must(h.t, h.store.Create(h.t.Context(), secret))
}

// settle asks until the charts are not being fetched any more.
func (h *hub) settle(inst *meshv1alpha1.MeshInstallation) Outcome {
	h.t.Helper()
	for range 500 {
		if o := h.pins.Ensure(h.t.Context(), inst); o.IsReady || o.Reason != "" || o.IsMissing {
			return o
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatal("the charts are still being fetched")
	return Outcome{}
}

func (h *hub) kept() []string {
	h.t.Helper()
	found := &corev1.ConfigMapList{}
	testutil.Must(h.t, h.store.List(h.t.Context(), found, client.HasLabels{meshv1alpha1.LabelChart}))
	names := map[string]bool{}
	for i := range found.Items {
		names[found.Items[i].Annotations[meshv1alpha1.AnnotationChartDigest]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func fromSecret(name string) *meshv1alpha1.MeshInstallation {
	inst := testutil.Installation()
	inst.Spec.Version = patch
	inst.Spec.Charts = &meshv1alpha1.Charts{Archives: &meshv1alpha1.ChartArchives{SecretRef: &meshv1alpha1.ObjectName{Name: name}}}
	return inst
}

func digestsOf(archives []fetch.Archive) []string {
	var out []string
	for _, a := range archives {
		out = append(out, a.Digest)
	}
	slices.Sort(out)
	return out
}

// TestPinnedChartsOutlastTheirSource wants charts that were fetched to stay, whatever happens to their source.
func TestPinnedChartsOutlastTheirSource(t *testing.T) {
	first, moved := chartstest.Packaged(t, "1.30.4", patch), chartstest.Packaged(t, "1.31.0", patch)
	cases := map[string]struct {
		change     func(h *hub, inst *meshv1alpha1.MeshInstallation)
		wantReady  bool
		wantPinned bool
		wantReason string
		// want has to be in the message.
		want string
		kept []fetch.Archive
	}{
		"nothing changes":            {func(*hub, *meshv1alpha1.MeshInstallation) {}, true, true, "", "", first},
		"it is lost":                 {func(h *hub, _ *meshv1alpha1.MeshInstallation) { h.lose("charts") }, true, true, "", "", first},
		"it is overwritten":          {func(h *hub, _ *meshv1alpha1.MeshInstallation) { h.put("charts", moved) }, true, true, "", "", first},
		"the hub loses what it kept": {func(h *hub, _ *meshv1alpha1.MeshInstallation) { h.loseKept() }, true, true, "", "", first},
		"the hub loses what it kept, and the source is lost": {func(h *hub, _ *meshv1alpha1.MeshInstallation) {
			h.loseKept()
			h.lose("charts")
		}, false, true, "ChartNotFound", "Secret charts does not exist", nil},
		"the hub loses what it kept, and the source is overwritten": {func(h *hub, _ *meshv1alpha1.MeshInstallation) {
			h.loseKept()
			h.put("charts", moved)
		}, false, true, "ChartMoved", digestsOf(first)[0][:7], nil},
		"the status is lost": {func(_ *hub, inst *meshv1alpha1.MeshInstallation) { inst.Status.Charts = nil }, true, true, "", "", first},
		"the new digests are accepted": {func(h *hub, inst *meshv1alpha1.MeshInstallation) {
			h.put("charts", moved)
			inst.Spec.Charts.Verify = &meshv1alpha1.ChartVerification{Digests: digestsOf(moved)}
		}, true, true, "", "", append(slices.Clone(first), moved...)},
		"only some of the new digests are accepted": {func(h *hub, inst *meshv1alpha1.MeshInstallation) {
			h.put("charts", moved)
			inst.Spec.Charts.Verify = &meshv1alpha1.ChartVerification{Digests: []string{moved[0].Digest}}
		}, false, false, "ChartNotAllowed", "spec.charts.verify.digests", first},
		"another source has the same": {func(h *hub, inst *meshv1alpha1.MeshInstallation) {
			h.put("others", first)
			inst.Spec.Charts.Archives.SecretRef.Name = "others"
		}, true, true, "", "", first},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, inst := newHub(t), fromSecret("charts")
			h.put("charts", first)
			if o := h.settle(inst); !o.IsReady || len(inst.Status.Charts) != 1 {
				t.Fatalf("outcome %+v, pins %v", o, inst.Status.Charts)
			}
			pinned := inst.Status.Charts[0].Charts
			c.change(h, inst)
			h.restart()
			h.now = h.now.Add(time.Hour)
			o := h.settle(inst)
			if o.IsReady != c.wantReady || o.IsPinned != c.wantPinned || o.Reason != c.wantReason {
				t.Errorf("outcome %+v", o)
			}
			if c.want != "" && !strings.Contains(o.Problem.Error(), c.want) {
				t.Errorf("message %q, want %q in it", o.Problem, c.want)
			}
			if got, want := h.kept(), digestsOf(c.kept); !slices.Equal(got, want) {
				t.Errorf("kept %v, want %v", got, want)
			}
			if last := inst.Status.Charts; c.wantReason != "" && len(last) > 0 && last[len(last)-1].Charts != pinned {
				t.Errorf("the pin changed from %v to %v", pinned, last)
			}
		})
	}
}

func (h *hub) lose(secret string) {
	h.t.Helper()
	testutil.Must(h.t, h.store.Delete(h.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret, Namespace: testutil.Namespace}}))
}

func (h *hub) loseKept() {
	h.t.Helper()
	testutil.Must(h.t, h.store.DeleteAllOf(h.t.Context(), &corev1.ConfigMap{}, client.InNamespace(testutil.Namespace)))
}

// TestEnsureWithoutSource wants no fetch for what the operator's image has.
func TestEnsureWithoutSource(t *testing.T) {
	h := newHub(t)
	inst := testutil.Installation()
	inst.Spec.Version = "1.30.4"
	if o := h.settle(inst); !o.IsPackaged || !o.IsReady || len(inst.Status.Charts) != 0 {
		t.Errorf("release of the image: %+v, pins %v", o, inst.Status.Charts)
	}
	inst.Spec.Version = patch
	if o := h.settle(inst); !o.IsMissing || o.IsReady {
		t.Errorf("release that is nowhere: %+v", o)
	}
	h.pins.Policy.Default = "https://127.0.0.1:1/charts"
	if o := h.settle(inst); o.Source != h.pins.Policy.Default || o.Reason != "ChartsUnreachable" {
		t.Errorf("release with a default source: %+v", o)
	}
	inst.Spec.Version = "1.30.4"
	if o := h.settle(inst); !o.IsPackaged {
		t.Errorf("release of the image with a default source: %+v", o)
	}
}

// TestFetchesPause wants a fetch that fails to be repeated after a pause, and at once when the source changes.
func TestFetchesPause(t *testing.T) {
	h, inst := newHub(t), fromSecret("charts")
	wrong := chartstest.Packaged(t, "1.30.4", "1.30.8")
	h.put("charts", wrong)
	o := h.settle(inst)
	if o.Reason != "ChartNotFound" || !strings.Contains(o.Problem.Error(), "1.30.8") {
		t.Fatalf("outcome %+v", o)
	}
	if again := h.pins.Ensure(t.Context(), inst); again.RetryIn <= 0 || again.RetryIn > firstPause {
		t.Errorf("the next try is in %s", again.RetryIn)
	}
	h.put("charts", chartstest.Packaged(t, "1.30.4", patch))
	if o := h.settle(inst); !o.IsReady {
		t.Errorf("with the right charts: %+v", o)
	}
	for failures, want := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 3: 4 * firstPause, 60: maxPause} {
		if got := pause(failures); got != want {
			t.Errorf("pause after %d failures is %s, want %s", failures, got, want)
		}
	}
}

// TestPolicy wants sources that are not allowed to be refused, and those of meshes that run to be refused for new charts.
func TestPolicy(t *testing.T) {
	oci := func(path string) *meshv1alpha1.Charts { return &meshv1alpha1.Charts{OCI: path} }
	p := Policy{Default: "oci://registry.example.com/default", Allowed: []string{"oci://registry.example.com/istio/", "https://charts.example.com", "https://charts.example.com/team/", "secret/charts"}}
	for _, c := range []struct {
		charts    *meshv1alpha1.Charts
		isAllowed bool
	}{
		{oci("oci://registry.example.com/istio/charts"), true},
		{&meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio/charts", VersionSuffix: "-solo"}, true},
		{oci("oci://registry.example.com/default"), true},
		{oci("oci://registry.example.com/istio-other"), false},
		{oci("oci://registry.example.com.evil.example/istio/charts"), false},
		{&meshv1alpha1.Charts{Repository: "https://charts.example.com"}, true},
		{&meshv1alpha1.Charts{Repository: "https://charts.example.com/other"}, false},
		{&meshv1alpha1.Charts{Repository: "https://charts.example.com/team/a"}, true},
		{&meshv1alpha1.Charts{Repository: "https://charts.example.com/team/../other"}, false},
		{&meshv1alpha1.Charts{Repository: "https://charts.example.com/team/%2e%2e/other"}, false},
		{&meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio/charts", Proxy: "http://proxy.example.com"}, false},
		{fromSecret("charts").Spec.Charts, true},
		{fromSecret("others").Spec.Charts, false},
	} {
		if problem := p.Refusal(c.charts); (problem == "") != c.isAllowed || (Policy{}).Refusal(c.charts) != "" {
			t.Errorf("%+v: %q, want it to be allowed: %v", c.charts, problem, c.isAllowed)
		}
	}
	for address, isValid := range map[string]bool{"": true, "oci://r.example/x": true, "https://r.example": true, "r.example": false, "https://u:p@r.example": false, "file:///x": false} {
		if err := (Policy{Default: address}).Validate(); (err == nil) != isValid {
			t.Errorf("default source %q: %v", address, err)
		}
	}
	h, inst := newHub(t), fromSecret("others")
	h.pins.Policy = p
	if o := h.settle(inst); o.Reason != "ChartNotAllowed" || !strings.Contains(o.Problem.Error(), "--charts-allowed") {
		t.Errorf("outcome %+v", o)
	}
}

// TestPullSecrets wants credentials of the right types only to be sent.
func TestPullSecrets(t *testing.T) {
	login := map[string][]byte{"username": []byte("reader"), "password": []byte("hunter2")}
	cases := map[string]struct {
		secret *corev1.Secret
		// want are the user and the docker config that are sent, wantErr a part of the message.
		want, wantErr string
	}{
		"none":                 {wantErr: "does not exist"},
		"a login of charts":    {secret: &corev1.Secret{Type: meshv1alpha1.SecretTypeCharts, Data: login}, want: "reader "},
		"a login of any use":   {secret: &corev1.Secret{Type: corev1.SecretTypeBasicAuth, Data: login}, wantErr: "mesh.meshfleet.io/charts"},
		"a Secret of any kind": {secret: &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: login}, wantErr: "mesh.meshfleet.io/charts"},
		"a docker config": {secret: &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
			corev1.DockerConfigJsonKey: []byte("{}"), "username": []byte("reader"),
		}}, want: " {}"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			if c.secret != nil {
				c.secret.Name, c.secret.Namespace = "login", testutil.Namespace
				testutil.Must(t, h.store.Create(t.Context(), c.secret))
			}
			from, err := h.pins.read(t.Context(), &meshv1alpha1.Charts{OCI: "oci://x", PullSecretRef: &meshv1alpha1.ObjectName{Name: "login"}})
			if (err != nil) != (c.wantErr != "") || err != nil && (!strings.Contains(err.Error(), c.wantErr) || strings.Contains(err.Error(), "hunter2")) {
				t.Fatalf("error is %v, want %q", err, c.wantErr)
			}
			if got := from.Username + " " + string(from.DockerConfig); err == nil && got != c.want {
				t.Errorf("credentials are %q, want %q", got, c.want)
			}
		})
	}
}

// TestChartsOfAVendor wants charts whose version has a suffix, and pins of their own for them.
func TestChartsOfAVendor(t *testing.T) {
	h, inst := newHub(t), fromSecret("charts")
	plain, vendor := chartstest.Packaged(t, "1.30.4", patch), chartstest.Packaged(t, "1.30.4", patch+"-vendor")
	h.put("charts", plain)
	if o := h.settle(inst); !o.IsReady {
		t.Fatalf("outcome %+v", o)
	}
	inst.Spec.Charts.VersionSuffix = "-vendor"
	if o := h.settle(inst); o.Reason != "ChartNotFound" || !strings.Contains(o.Problem.Error(), patch+"-vendor") {
		t.Errorf("without charts of the vendor: %+v", o)
	}
	h.put("charts", append(vendor, plain...))
	o := h.settle(inst)
	pin := mesh.Pinned(&inst.Status, patch, o.Source)
	if !o.IsReady || o.Source != "secret/charts -vendor" || pin == nil || pin.Charts.Istiod != vendor[1].Digest {
		t.Errorf("outcome %+v, pins %+v", o, inst.Status.Charts)
	}
}

// TestSweep wants charts to stay as long as something names them.
func TestSweep(t *testing.T) {
	all := chartstest.Packaged(t, "1.30.4", patch)
	digests := meshv1alpha1.ChartDigests{Base: all[0].Digest, Istiod: all[1].Digest, Gateway: all[2].Digest}
	cases := map[string]struct {
		object client.Object
		stays  bool
	}{
		"nothing": {nil, false},
		"the spec": {func() client.Object {
			inst := fromSecret("charts")
			inst.Status.Charts = []meshv1alpha1.PinnedCharts{{Version: patch, Source: "secret/charts", Charts: digests}}
			return inst
		}(), true},
		"a spec whose charts are not pinned yet": {fromSecret("charts"), true},
		"a former spec": {func() client.Object {
			inst := fromSecret("charts")
			other := meshv1alpha1.ChartDigests{Istiod: "sha256:other"}
			inst.Status.Charts = []meshv1alpha1.PinnedCharts{{Version: "1.30.8", Source: "secret/charts", Charts: digests}, {Version: patch, Source: "secret/charts", Charts: other}}
			return inst
		}(), false},
		"a revision":             {testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.Revisions[0].Charts = digests }), true},
		"permissions of readers": {testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.ReaderCharts = digests }), true},
		"what a rollback needs": {testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
			m.Spec.Rollout = &meshv1alpha1.MemberRollout{From: meshv1alpha1.Revision{Charts: digests}}
		}), true},
		"an upgrade that has not ended": {upgradeTo(digests, meshv1alpha1.UpgradeRunning), true},
		"an upgrade that has ended":     {upgradeTo(digests, meshv1alpha1.UpgradeSucceeded), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			for _, a := range all {
				testutil.Must(t, h.pins.Archives.keep(t.Context(), a))
			}
			if c.object != nil {
				testutil.Must(t, h.store.Create(t.Context(), c.object))
			}
			testutil.Must(t, h.pins.sweep(t.Context()))
			if got := h.kept(); len(got) != 0 != c.stays {
				t.Errorf("kept %v", got)
			}
		})
	}
}

func upgradeTo(digests meshv1alpha1.ChartDigests, phase meshv1alpha1.UpgradePhase) *meshv1alpha1.MeshUpgrade {
	u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: "u", Namespace: testutil.Namespace}}
	u.Spec.To.Charts, u.Status.Phase = digests, phase
	return u
}

// TestADamagedArchiveIsNoChart wants what is kept on the hub to be proved before it is used, and to be replaced.
func TestADamagedArchiveIsNoChart(t *testing.T) {
	h := newHub(t)
	all := chartstest.Packaged(t, "1.30.4", patch)
	forged := all[1]
	forged.Data = all[2].Data
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: archiveName(forged.Digest), Namespace: testutil.Namespace}, BinaryData: map[string][]byte{archiveKey: forged.Data},
	}
	testutil.Must(t, h.store.Create(t.Context(), cm))
	library := charts.NewLibrary(testutil.InRepository("bin", "charts")).WithArchives(h.pins.Archives)
	request := charts.Request{Version: patch, Chart: charts.Istiod, Digest: forged.Digest, Release: "istiod", Namespace: "istio-system"}
	if _, err := library.Render(request); !errors.Is(err, charts.ErrNoChart) {
		t.Errorf("error is %v, want ErrNoChart", err)
	}
	testutil.Must(t, h.pins.Archives.keep(t.Context(), all[1]))
	objects, err := library.Render(request)
	testutil.Must(t, err)
	if got := objects[0].GetLabels()["app.kubernetes.io/version"]; got != patch {
		t.Errorf("the version of what is rendered is %q", got)
	}
}

package webhooks

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

var _ charts.Checker = &charts.Library{}

// knownValues stands for the charts: they know `pilot`, and the operator sets `revision` and `global.meshID`.
type knownValues struct{}

func (knownValues) CheckValues(c charts.Ref, values map[string]any) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch key {
		case "pilot":
		case "global":
			errs = append(errs, &charts.ValueError{Path: "global.meshID", Problem: "the operator sets this value itself; remove it"})
		default:
			errs = append(errs, &charts.ValueError{Path: key, Problem: "the " + c.Chart + " chart does not know this value"})
		}
	}
	return errors.Join(errs...)
}

const namespace = "meshfleet-system"

type option func(*meshv1alpha1.MeshInstallation)

func installation(name string, options ...option) *meshv1alpha1.MeshInstallation {
	inst := &meshv1alpha1.MeshInstallation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       meshv1alpha1.MeshInstallationSpec{Version: "1.29.1"},
	}
	for _, o := range options {
		o(inst)
	}
	return inst
}

// supported is a time at which upstream supports the releases that the tests use.
var supported = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func version(v string) option {
	return func(i *meshv1alpha1.MeshInstallation) { i.Spec.Version = v }
}

func chartsFrom(c meshv1alpha1.Charts) option {
	return func(i *meshv1alpha1.MeshInstallation) { i.Spec.Charts = &c }
}

func running(v string) option {
	return func(i *meshv1alpha1.MeshInstallation) { i.Status.EffectiveVersion = v }
}

func in(namespace string) option {
	return func(i *meshv1alpha1.MeshInstallation) { i.Namespace = namespace }
}

func firstNamespaces(operator metav1.LabelSelectorOperator) option {
	return func(i *meshv1alpha1.MeshInstallation) {
		i.Spec.DataPlane.Restart.FirstNamespaces = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "canary", Operator: operator}}}
	}
}

func bySecret(secret string) meshv1alpha1.ClusterRef {
	return meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: secret, Key: "value"}}
}

var local = meshv1alpha1.ClusterRef{Local: &meshv1alpha1.LocalCluster{}}

func member(name string, ref meshv1alpha1.ClusterRef, edits ...func(*meshv1alpha1.Member)) option {
	m := meshv1alpha1.Member{Name: name, ClusterRef: ref}
	for _, edit := range edits {
		edit(&m)
	}
	return func(i *meshv1alpha1.MeshInstallation) { i.Spec.Members = append(i.Spec.Members, m) }
}

func readable(m *meshv1alpha1.Member) { m.HubSecrets = meshv1alpha1.HubSecretsReadableByPeers }

func withValues(raw string) func(*meshv1alpha1.Member) {
	return func(m *meshv1alpha1.Member) { m.Values = &apiextensionsv1.JSON{Raw: []byte(raw)} }
}

func controlPlaneValues(raw string) option {
	return func(i *meshv1alpha1.MeshInstallation) {
		i.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(raw)}
	}
}

func gatewayValues(raw string) option {
	return func(i *meshv1alpha1.MeshInstallation) {
		i.Spec.EastWestGateway.Values = &apiextensionsv1.JSON{Raw: []byte(raw)}
	}
}

func annotation(key string) option {
	return func(i *meshv1alpha1.MeshInstallation) {
		i.Spec.EastWestGateway.Service.Annotations = map[string]string{key: "x"}
	}
}

func deleted(i *meshv1alpha1.MeshInstallation) {
	now := metav1.Now()
	i.DeletionTimestamp = &now
}

// kubeconfig is a Secret with a kubeconfig for the server.
func kubeconfig(t *testing.T, name, server string, edits ...func(*clientcmdapi.Cluster)) *corev1.Secret {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server}
	for _, edit := range edits {
		edit(config.Clusters["c"])
	}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "s3cret-token"}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	data, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"value": data}}
}

func meshMember(installation, name string, ref meshv1alpha1.ClusterRef, uid string) *meshv1alpha1.MeshMember {
	return &meshv1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: installation + "-" + name},
		Spec:       meshv1alpha1.MeshMemberSpec{Installation: installation, Cluster: name, ClusterRef: ref},
		Status:     meshv1alpha1.MeshMemberStatus{ClusterUID: uid},
	}
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, meshv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func newValidator(t *testing.T, objects ...client.Object) *validator {
	t.Helper()
	return &validator{reader: fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).Build(), checker: knownValues{}, now: func() time.Time { return supported }}
}

// causes returns the fields and messages of an Invalid error.
func causes(t *testing.T, err error) (fields []string, messages string) {
	t.Helper()
	if err == nil {
		return nil, ""
	}
	status := apierrors.APIStatus(nil)
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		t.Fatalf("error is not Invalid: %v", err)
	}
	for _, cause := range status.Status().Details.Causes {
		fields = append(fields, cause.Field)
		messages += cause.Message + "\n"
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error reveals a secret: %v", err)
	}
	return fields, messages
}

func TestValidateCreate(t *testing.T) {
	east := member("east", bySecret("east"))
	tests := map[string]struct {
		inst       *meshv1alpha1.MeshInstallation
		objects    []client.Object
		wantFields []string
		wantCure   string
	}{
		"accepts a mesh of two clusters":               {inst: installation("shop", east, member("west", bySecret("west"))), objects: []client.Object{kubeconfig(t, "east", "https://east:6443"), kubeconfig(t, "west", "https://west:6443")}},
		"accepts Secrets that do not exist yet":        {inst: installation("shop", east, member("west", bySecret("west")))},
		"accepts values that the chart knows":          {inst: installation("shop", east, controlPlaneValues(`{"pilot":{"cpu":1}}`))},
		"refuses a minor version":                      {inst: installation("shop", east, version("1.29")), wantFields: []string{"spec.version"}, wantCure: "1.28.3, 1.29.1, 1.30.4, 1.31.0"},
		"refuses a version with a prefix":              {inst: installation("shop", east, version("v1.29.1")), wantFields: []string{"spec.version"}, wantCure: "1.29.1"},
		"refuses a patch whose charts are nowhere":     {inst: installation("shop", east, version("1.29.7")), wantFields: []string{"spec.version"}, wantCure: "set spec.charts"},
		"accepts a patch with charts":                  {inst: installation("shop", east, version("1.29.7"), chartsFrom(meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio"}))},
		"values wait for charts that are fetched":      {inst: installation("shop", east, version("1.29.7"), controlPlaneValues(`{"unknown":1}`), chartsFrom(meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio"}))},
		"refuses an unknown minor version with charts": {inst: installation("shop", east, version("9.9.9"), chartsFrom(meshv1alpha1.Charts{OCI: "oci://registry.example.com/istio"})), wantFields: []string{"spec.version"}, wantCure: "does not know it"},
		"refuses an authority and a key that are none": {inst: installation("shop", east, version("1.29.7"), chartsFrom(meshv1alpha1.Charts{
			OCI: "oci://registry.example.com/istio", CABundle: "s3cret", Verify: &meshv1alpha1.ChartVerification{CosignPublicKey: "s3cret"},
		})), wantFields: []string{"spec.charts.caBundle", "spec.charts.verify.cosignPublicKey"}, wantCure: "cosign.pub"},
		"refuses a version that does not exist":       {inst: installation("shop", east, version("9.9.9")), wantFields: []string{"spec.version"}, wantCure: "1.29.1"},
		"does not check values of an unknown version": {inst: installation("shop", east, version("9.9.9"), controlPlaneValues(`{"pilto":{}}`)), wantFields: []string{"spec.version"}},
		"refuses unknown values, each at its field": {
			inst: installation("shop", member("east", bySecret("east"), withValues(`{"cni":"s3cret"}`)),
				controlPlaneValues(`{"pilto":"s3cret","revision":"x","pilot":{}}`), gatewayValues(`{"global":{"meshID":"x"}}`)),
			wantFields: []string{"spec.controlPlane.values.pilto", "spec.controlPlane.values.revision", "spec.members[east].values.cni",
				"spec.eastWestGateway.values.global.meshID"},
			wantCure: "the istiod chart does not know this value",
		},
		"refuses values that are no map":    {inst: installation("shop", east, controlPlaneValues(`["s3cret"]`)), wantFields: []string{"spec.controlPlane.values"}, wantCure: "must be a map"},
		"refuses another namespace":         {inst: installation("shop", in("elsewhere"), east), wantFields: []string{"metadata.namespace"}, wantCure: namespace},
		"refuses names that fill a label":   {inst: installation(strings.Repeat("x", 47), east), wantFields: []string{"metadata.name"}, wantCure: "shorter"},
		"accepts names that just fit":       {inst: installation(strings.Repeat("x", 46), east)},
		"refuses a name that is taken":      {inst: installation("a", member("b-c", bySecret("east"))), objects: []client.Object{installation("a-b", member("c", bySecret("west")))}, wantFields: []string{"spec.members[b-c].name"}, wantCure: `member "c" of MeshInstallation "meshfleet-system/a-b" is: choose another name`},
		"refuses a name not cleaned up yet": {inst: installation("a", member("b-c", bySecret("east"))), objects: []client.Object{meshMember("a-b", "c", bySecret("west"), "u")}, wantFields: []string{"spec.members[b-c].name"}, wantCure: `"a-b-c"`},
		"tells names of namespaces":         {inst: installation("a", member("b-c", bySecret("east"))), objects: []client.Object{installation("a-b", in("elsewhere"), member("c", bySecret("west")))}},
		"refuses a label that is none":      {inst: installation("shop", member("east", bySecret("east"), func(m *meshv1alpha1.Member) { m.Labels = map[string]string{"tier": "a b"} })), wantFields: []string{"spec.members[east].labels"}},
		"refuses a bad selector":            {inst: installation("shop", east, firstNamespaces("Near")), wantFields: []string{"spec.dataPlane.restart.firstNamespaces.matchExpressions[0].operator"}},
		"accepts a selector":                {inst: installation("shop", east, firstNamespaces("Exists"))},
		"refuses a bad annotation":          {inst: installation("shop", east, annotation("a b")), wantFields: []string{"spec.eastWestGateway.service.annotations"}},
		"refuses one Secret for two":        {inst: installation("shop", east, member("west", bySecret("east"))), wantFields: []string{"spec.members[west].clusterRef"}, wantCure: `member "east"`},
		"refuses two that are the hub":      {inst: installation("shop", member("a", local, readable), member("b", local, readable)), wantFields: []string{"spec.members[b].clusterRef"}, wantCure: "the hub itself"},
		"refuses the hub beside others":     {inst: installation("shop", member("hub", local), east), wantFields: []string{"spec.members[hub].hubSecrets"}, wantCure: "hubSecrets: ReadableByPeers"},
		"accepts it by the field":           {inst: installation("shop", member("hub", local, readable), east)},
		"accepts the hub alone":             {inst: installation("shop", member("hub", local))},
		"refuses one API server for two":    {inst: installation("shop", east, member("west", bySecret("west"))), objects: []client.Object{kubeconfig(t, "east", "https://API.example/"), kubeconfig(t, "west", "https://api.example:443")}, wantFields: []string{"spec.members[west].clusterRef"}, wantCure: "https://api.example:443"},
		"tells TLS server names apart":      {inst: installation("shop", east, member("west", bySecret("west"))), objects: []client.Object{kubeconfig(t, "east", "https://lb", serverName("east")), kubeconfig(t, "west", "https://lb", serverName("west"))}},
		"refuses one UID for two":           {inst: installation("shop", east, member("west", bySecret("west"))), objects: []client.Object{meshMember("shop", "east", bySecret("east"), "u"), meshMember("shop", "west", bySecret("west"), "u")}, wantFields: []string{"spec.members[west].clusterRef"}, wantCure: "cluster UID u"},
		"refuses another mesh's Secret":     {inst: installation("shop", east), objects: []client.Object{installation("old", member("e", bySecret("east")))}, wantFields: []string{"spec.members[east].clusterRef"}, wantCure: `MeshInstallation "meshfleet-system/old"`},
		"refuses another mesh's hub":        {inst: installation("shop", member("east", local)), objects: []client.Object{installation("old", in("elsewhere"), member("e", local))}, wantFields: []string{"spec.members[east].clusterRef"}, wantCure: `MeshInstallation "elsewhere/old"`},
		"tells Secrets of namespaces":       {inst: installation("shop", east), objects: []client.Object{installation("old", in("elsewhere"), member("e", bySecret("east")))}},
		"refuses another mesh's server":     {inst: installation("shop", east), objects: []client.Object{installation("old", member("e", bySecret("old"))), kubeconfig(t, "east", "https://api:6443"), kubeconfig(t, "old", "https://api:6443")}, wantFields: []string{"spec.members[east].clusterRef"}, wantCure: "https://api:6443"},
		"refuses another mesh's UID":        {inst: installation("shop", member("east", local)), objects: []client.Object{installation("old", member("e", bySecret("old"))), meshMember("old", "e", bySecret("old"), "u"), meshMember("shop", "east", local, "u")}, wantFields: []string{"spec.members[east].clusterRef"}, wantCure: "cluster UID u"},
		"refuses what is not cleaned up":    {inst: installation("shop", east), objects: []client.Object{meshMember("old", "e", bySecret("east"), "")}, wantFields: []string{"spec.members[east].clusterRef"}, wantCure: `MeshInstallation "meshfleet-system/old"`},
		"accepts what cannot be parsed":     {inst: installation("shop", east), objects: []client.Object{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "east"}, Data: map[string][]byte{"value": []byte("s3cret")}}}},
		"accepts its own MeshMembers":       {inst: installation("shop", east), objects: []client.Object{meshMember("shop", "east", bySecret("east"), "u")}},
		"accepts beside an unrelated mesh":  {inst: installation("shop", east), objects: []client.Object{installation("old", member("e", bySecret("old"))), meshMember("old", "e", bySecret("old"), "u")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := newValidator(t, test.objects...)
			v.namespaces = []string{namespace}
			_, err := v.ValidateCreate(t.Context(), test.inst)
			fields, messages := causes(t, err)
			if diff := cmp.Diff(test.wantFields, fields); diff != "" {
				t.Errorf("refused fields (-want +got):\n%s\n%s", diff, messages)
			}
			if !strings.Contains(messages, test.wantCure) {
				t.Errorf("messages do not contain %q:\n%s", test.wantCure, messages)
			}
		})
	}
}

func serverName(name string) func(*clientcmdapi.Cluster) {
	return func(c *clientcmdapi.Cluster) { c.TLSServerName = name }
}

func TestValidateUpdate(t *testing.T) {
	east, badValues := member("east", bySecret("east")), controlPlaneValues(`{"pilto":{}}`)
	claimed := []client.Object{installation("old", member("e", bySecret("east")))}
	tests := map[string]struct {
		old, inst  *meshv1alpha1.MeshInstallation
		objects    []client.Object
		wantFields []string
	}{
		"accepts an upgrade":                                {old: installation("shop", east, version("1.28.3"), running("1.28.3")), inst: installation("shop", east)},
		"accepts the way back before the mesh has moved":    {old: installation("shop", east, running("1.28.3")), inst: installation("shop", east, version("1.28.3"))},
		"accepts the release before":                        {old: installation("shop", east, running("1.29.1")), inst: installation("shop", east, version("1.28.3"))},
		"refuses a release three minors back":               {old: installation("shop", east, running("1.31.0"), version("1.31.0")), inst: installation("shop", east, version("1.28.3")), wantFields: []string{"spec.version"}},
		"refuses an older release that does not exist":      {old: installation("shop", east, running("1.29.1")), inst: installation("shop", east, version("1.28.0")), wantFields: []string{"spec.version"}},
		"accepts another change beside an old bad selector": {old: installation("shop", east, firstNamespaces("Near")), inst: installation("shop", east, firstNamespaces("Near"), annotation("a"))},
		"accepts metadata beside old problems":              {old: installation("shop", east, version("1.20.0"), badValues), inst: installation("shop", east, version("1.20.0"), badValues), objects: claimed},
		"accepts another change beside old problems":        {old: installation("shop", east, version("1.20.0"), badValues), inst: installation("shop", east, version("1.20.0"), badValues, annotation("a")), objects: claimed},
		"accepts a name that is taken already, to keep it":  {old: installation("a", member("b-c", bySecret("east"))), inst: installation("a", member("b-c", bySecret("east")), annotation("a")), objects: []client.Object{installation("a-b", member("c", bySecret("west")))}},
		"refuses a new name that is taken":                  {old: installation("a", east), inst: installation("a", east, member("b-c", bySecret("b-c"))), objects: []client.Object{installation("a-b", member("c", bySecret("west")))}, wantFields: []string{"spec.members[b-c].name"}},
		"accepts anything while it is deleted":              {old: installation("shop", east), inst: installation("shop", east, version("9.9.9"), badValues, deleted)},
		"checks old values against a new version":           {old: installation("shop", east, version("1.28.3"), badValues), inst: installation("shop", east, badValues), wantFields: []string{"spec.controlPlane.values.pilto"}},
		"accepts a change beside a hub that peers read":     {old: installation("shop", member("hub", local), east), inst: installation("shop", member("hub", local), east, annotation("a"))},
		"refuses a peer that is new to such a hub":          {old: installation("shop", member("hub", local), east), inst: installation("shop", member("hub", local), east, member("west", bySecret("west"))), wantFields: []string{"spec.members[hub].hubSecrets"}},
		"refuses the first peer of the hub":                 {old: installation("shop", member("hub", local)), inst: installation("shop", member("hub", local), east), wantFields: []string{"spec.members[hub].hubSecrets"}},
		"refuses to take the word back":                     {old: installation("shop", member("hub", local, readable), east), inst: installation("shop", member("hub", local), east), wantFields: []string{"spec.members[hub].hubSecrets"}},
		"refuses values that are new":                       {old: installation("shop", east), inst: installation("shop", east, gatewayValues(`{"x":1}`)), wantFields: []string{"spec.eastWestGateway.values.x"}},
		"refuses a new member of another mesh":              {old: installation("shop", member("west", bySecret("west"))), inst: installation("shop", member("west", bySecret("west")), east), objects: claimed, wantFields: []string{"spec.members[east].clusterRef"}},
		"refuses a member that moves to a cluster it has":   {old: installation("shop", east, member("west", bySecret("west"))), inst: installation("shop", east, member("west", bySecret("east"))), wantFields: []string{"spec.members[west].clusterRef"}},
		"refuses the values of a member that has just come": {old: installation("shop", east), inst: installation("shop", east, member("west", bySecret("west"), withValues(`{"x":1}`))), wantFields: []string{"spec.members[west].values.x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newValidator(t, test.objects...).ValidateUpdate(t.Context(), test.old, test.inst)
			fields, messages := causes(t, err)
			if diff := cmp.Diff(test.wantFields, fields); diff != "" {
				t.Errorf("refused fields (-want +got):\n%s\n%s", diff, messages)
			}
		})
	}
}

// TestWarningOfAnOlderRelease wants one that the API server does not cut off, and none for a release that is not older.
func TestWarningOfAnOlderRelease(t *testing.T) {
	const longest = 256
	east := member("east", bySecret("east"))
	for name, c := range map[string]struct {
		old, inst *meshv1alpha1.MeshInstallation
		want      int
	}{
		"the release before":            {installation("shop", east, running("1.29.1")), installation("shop", east, version("1.28.3")), 1},
		"the same, with another change": {installation("shop", east, running("1.29.1")), installation("shop", east, version("1.28.3"), annotation("a")), 1},
		"what still runs":               {installation("shop", east, running("1.28.3")), installation("shop", east, version("1.28.3")), 0},
		"a newer release":               {installation("shop", east, running("1.28.3"), version("1.28.3")), installation("shop", east), 0},
		"another change afterwards":     {installation("shop", east, running("1.29.1"), version("1.28.3")), installation("shop", east, version("1.28.3"), annotation("a")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := newValidator(t, kubeconfig(t, "east", "https://east:6443")).ValidateUpdate(t.Context(), c.old, c.inst)
			warnings = slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "is older") })
			if err != nil || len(warnings) != c.want {
				t.Fatalf("warnings %q, error %v, want %d warnings", warnings, err, c.want)
			}
			for _, w := range warnings {
				if len(w) > longest || !strings.Contains(w, "1.28.3 is older than 1.29.1") || !strings.Contains(w, "no effect") {
					t.Errorf("warning of %d characters: %s", len(w), w)
				}
			}
		})
	}
}

// TestWarningsOfTheRelease wants all that speaks against a release that is new in the spec, in lines that the API server does not cut off,
// and nothing about one that is not.
func TestWarningsOfTheRelease(t *testing.T) {
	const longest = 256
	east := member("east", bySecret("east"))
	v := newValidator(t, kubeconfig(t, "east", "https://east:6443"))
	const endOfSupport, defect = "ended on 2026-06-28", "ISTIO-SECURITY-2026-006"
	for name, c := range map[string]struct {
		now       time.Time
		old, inst *meshv1alpha1.MeshInstallation
		want      []string
	}{
		"a new mesh":                      {now: supported, inst: installation("shop", east, version("1.28.3")), want: []string{defect}},
		"a new mesh, after support ended": {now: supported.AddDate(1, 0, 0), inst: installation("shop", east, version("1.28.3")), want: []string{endOfSupport, defect}},
		"another release":                 {now: supported, old: installation("shop", east, version("1.29.1")), inst: installation("shop", east, version("1.28.3")), want: []string{defect}},
		"another change":                  {now: supported.AddDate(1, 0, 0), old: installation("shop", east, version("1.28.3")), inst: installation("shop", east, version("1.28.3"), annotation("a"))},
	} {
		t.Run(name, func(t *testing.T) {
			v.now = func() time.Time { return c.now }
			warnings, err := v.ValidateCreate(t.Context(), c.inst)
			if c.old != nil {
				warnings, err = v.ValidateUpdate(t.Context(), c.old, c.inst)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if len(w) > longest || !strings.HasPrefix(w, "spec.version: ") {
					t.Errorf("warning of %d characters: %s", len(w), w)
				}
			}
			all := strings.Join(warnings, "\n")
			for _, want := range []string{endOfSupport, defect} {
				if strings.Contains(all, want) != slices.Contains(c.want, want) {
					t.Errorf("warnings are %q, want %v", warnings, c.want)
				}
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	unusable := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "broken"}, Data: map[string][]byte{"value": []byte("s3cret")}}
	v := newValidator(t, unusable, meshMember("shop", "before", bySecret("renamed"), ""), kubeconfig(t, "renamed", "https://renamed:6443"))
	got, err := v.ValidateCreate(t.Context(), installation("shop",
		member("a", bySecret("missing")), member("b", bySecret("broken")), member("c", bySecret("renamed"))))
	if err != nil {
		t.Fatalf("ValidateCreate: %v", err)
	}
	want := []string{"spec.members[a].clusterRef", "spec.members[b].clusterRef", "spec.members[c].clusterRef"}
	var paths []string
	for _, warning := range got {
		path, text, _ := strings.Cut(warning, ": ")
		if path == "spec.version" {
			continue
		}
		paths = append(paths, path)
		if strings.Contains(text, "s3cret") {
			t.Errorf("the warning reveals a secret: %s", warning)
		}
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAHubThatPeersReadIsWarnedOf(t *testing.T) {
	old := installation("shop", member("hub", local), member("east", bySecret("east")))
	got, err := newValidator(t).ValidateUpdate(t.Context(), old, installation("shop", member("hub", local), member("east", bySecret("east")), annotation("a")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "spec.members[hub].hubSecrets: ") {
		t.Errorf("warnings %q, want one of the hub", got)
	}
}

func TestDeletionOfAMeshWithoutMembersIsAllowed(t *testing.T) {
	if _, err := newValidator(t).ValidateDelete(t.Context(), installation("shop", version("9.9.9"))); err != nil {
		t.Errorf("ValidateDelete: %v", err)
	}
}

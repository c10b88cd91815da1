package charts

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// TestImages renders what docs/images.md says, in every release.
func TestImages(t *testing.T) {
	type values = map[string]any
	digest := "registry.example.com/pilot@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	lib := NewLibrary(chartsDir)
	for _, release := range istioversion.Packaged() {
		v := release.Version
		for name, c := range map[string]struct {
			values values
			// istiod's image, and what the injector is told of those of proxies.
			istiod  string
			proxies values
			secrets []corev1.LocalObjectReference
		}{
			"the release": {istiod: "docker.io/istio/pilot:" + v, proxies: values{"hub": "docker.io/istio", "tag": v}},
			"a mirror":    {values: values{"global": values{"hub": "registry.example.com/istio"}}, istiod: "registry.example.com/istio/pilot:" + v, proxies: values{"hub": "registry.example.com/istio", "tag": v}},
			"a vendor":    {values: values{"global": values{"hub": "vendor.example", "tag": v + "-fips0"}}, istiod: "vendor.example/pilot:" + v + "-fips0", proxies: values{"hub": "vendor.example", "tag": v + "-fips0"}},
			"a variant":   {values: values{"global": values{"variant": "distroless"}}, istiod: "docker.io/istio/pilot:" + v + "-distroless", proxies: values{"hub": "docker.io/istio", "tag": v, "variant": "distroless"}},
			"exact images": {
				values: values{"image": digest, "global": values{"proxy": values{"image": digest}, "proxy_init": values{"image": digest}}},
				istiod: digest, proxies: values{"hub": "docker.io/istio", "tag": v, "proxy.image": digest, "proxy_init.image": digest},
			},
			"a registry with credentials": {
				values: values{"global": values{"imagePullSecrets": []any{"pull"}}}, istiod: "docker.io/istio/pilot:" + v,
				proxies: values{"hub": "docker.io/istio", "tag": v, "imagePullSecrets": []any{"pull"}}, secrets: []corev1.LocalObjectReference{{Name: "pull"}},
			},
		} {
			t.Run(v+"/"+name, func(t *testing.T) {
				if err := lib.CheckValues(Ref{Chart: Istiod, Version: v}, c.values); err != nil {
					t.Errorf("the values are refused: %v", err)
				}
				objects, err := lib.Render(Request{Version: v, Chart: Istiod, Release: "istiod", Namespace: "istio-system", Values: c.values})
				if err != nil {
					t.Fatal(err)
				}
				var (
					deployment appsv1.Deployment
					account    corev1.ServiceAccount
					injector   corev1.ConfigMap
				)
				for _, o := range objects {
					into := map[string]any{"Deployment istiod": &deployment, "ServiceAccount istiod": &account, "ConfigMap istio-sidecar-injector": &injector}[o.GetKind()+" "+o.GetName()]
					if into == nil {
						continue
					}
					if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
						t.Fatal(err)
					}
				}
				if got := deployment.Spec.Template.Spec.Containers[0].Image; got != c.istiod {
					t.Errorf("istiod's image is %s, want %s", got, c.istiod)
				}
				if diff := cmp.Diff(c.secrets, account.ImagePullSecrets); diff != "" {
					t.Errorf("istiod's secrets (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.proxies, imagesOf(t, injector.Data["values"])); diff != "" {
					t.Errorf("images of proxies (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// imagesOf is what the injector's values say of images, without what is empty or the default.
func imagesOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	var read struct {
		Global struct {
			Hub, Tag, Variant string
			ImagePullSecrets  []any
			Proxy             struct{ Image string }
			ProxyInit         struct{ Image string } `json:"proxy_init"`
		}
	}
	if err := json.Unmarshal([]byte(raw), &read); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for key, v := range map[string]string{"hub": read.Global.Hub, "tag": read.Global.Tag, "variant": read.Global.Variant, "proxy.image": read.Global.Proxy.Image, "proxy_init.image": read.Global.ProxyInit.Image} {
		if v != "" && v != "proxyv2" {
			out[key] = v
		}
	}
	if len(read.Global.ImagePullSecrets) > 0 {
		out["imagePullSecrets"] = read.Global.ImagePullSecrets
	}
	return out
}

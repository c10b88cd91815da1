package hub

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestNewest(t *testing.T) {
	at := func(uid types.UID, version string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "meshes", Name: "shop", UID: uid, ResourceVersion: version}}
	}
	for name, test := range map[string]struct {
		written, cached *corev1.ConfigMap
		want            string
	}{
		"nothing was written":           {cached: at("a", "7"), want: "7"},
		"the cache is behind":           {written: at("a", "10"), cached: at("a", "9"), want: "10"},
		"the cache has it":              {written: at("a", "10"), cached: at("a", "10"), want: "10"},
		"the cache has a newer one":     {written: at("a", "10"), cached: at("a", "11"), want: "11"},
		"it was made again":             {written: at("a", "10"), cached: at("b", "9"), want: "9"},
		"versions that are not numbers": {written: at("a", "x"), cached: at("a", "y"), want: "y"},
	} {
		t.Run(name, func(t *testing.T) {
			var w Written[*corev1.ConfigMap]
			if test.written != nil {
				w.Note(test.written)
			}
			got := w.Newest(test.cached)
			if got.ResourceVersion != test.want {
				t.Errorf("version %s, want %s", got.ResourceVersion, test.want)
			}
			if got == test.written {
				t.Error("what is kept was handed out, not a copy")
			}
		})
	}
	t.Run("it is gone", func(t *testing.T) {
		var w Written[*corev1.ConfigMap]
		w.Note(at("a", "10"))
		w.Forget(client.ObjectKeyFromObject(at("a", "10")))
		if got := w.Newest(at("a", "9")); got.ResourceVersion != "9" {
			t.Errorf("version %s, want 9", got.ResourceVersion)
		}
	})
}

package status

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// fill puts a text into every string of a value, and n elements into every list but bytes.
func fill(v reflect.Value, text string, n int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[metav1.Time]() {
				fill(v.Field(i), text, n)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), text, n)
		}
	case reflect.String:
		v.SetString(text)
	}
}

// TestBound fills every text of each status with more than may be written.
func TestBound(t *testing.T) {
	for _, st := range []any{
		&meshv1alpha1.MeshMemberStatus{}, &meshv1alpha1.MeshUpgradeStatus{}, &meshv1alpha1.MeshInstallationStatus{}, &meshv1alpha1.MeshApprovalStatus{},
	} {
		t.Run(fmt.Sprintf("%T", st), func(t *testing.T) {
			fill(reflect.ValueOf(st).Elem(), strings.Repeat("ü", maxText), 2)
			Bound(st)
			raw, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			longest := 0
			for text := range strings.SplitSeq(string(raw), `"`) {
				longest = max(longest, len(text))
			}
			if longest > maxText || longest < maxText-8 {
				t.Errorf("the longest text has %d bytes, at most %d are allowed", longest, maxText)
			}
			again := reflect.New(reflect.TypeOf(st).Elem())
			again.Elem().Set(reflect.ValueOf(st).Elem())
			Bound(again.Interface())
			if diff := cmp.Diff(st, again.Interface()); diff != "" {
				t.Errorf("bounding twice changes something:\n%s", diff)
			}
		})
	}
	short := &meshv1alpha1.MeshUpgradeStatus{Message: "short", Conditions: []metav1.Condition{{Message: "short"}}}
	want := short.DeepCopy()
	if Bound(short); cmp.Diff(want, short) != "" {
		t.Errorf("short texts are changed: %+v", short)
	}
}

// TestCureSurvivesALongMessage wants the cure in the condition, however much there is to say.
func TestCureSurvivesALongMessage(t *testing.T) {
	st := &meshv1alpha1.MeshUpgradeStatus{Phase: meshv1alpha1.UpgradePaused, Message: strings.Repeat("member failed; ", 500)}
	SetUpgrade(st, 1, Upgrade(st, meshv1alpha1.ReasonMembersFailed, "abort the upgrade"), testutil.Now)
	for _, c := range st.Conditions {
		if !strings.HasSuffix(c.Message, "; abort the upgrade") || len(c.Message) > maxMessage {
			t.Errorf("%s has %d bytes and ends with %q", c.Type, len(c.Message), c.Message[len(c.Message)-30:])
		}
	}
	if got := withCure("a", ""); got != "a" {
		t.Errorf("without a cure it is %q", got)
	}
	if got := phase.Waiting("x", withCure("a", "b"), 0).Text(); got != "a; b" {
		t.Errorf("got %q", got)
	}
}

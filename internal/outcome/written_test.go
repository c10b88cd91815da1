package outcome

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A conflict may come of a status, and no watch tells of that: whoever waits for an event waits without end.
func TestWrittenComesBackAfterAConflict(t *testing.T) {
	resource, broken := schema.GroupResource{Resource: "meshinstallations"}, errors.New("the API server is down")
	cases := map[string]struct {
		err       error
		wantAfter time.Duration
		wantErr   error
	}{
		"nothing is wrong":   {},
		"the object is gone": {err: apierrors.NewNotFound(resource, "shop")},
		"a conflict":         {err: apierrors.NewConflict(resource, "shop", errors.New("modified")), wantAfter: ShortWait},
		"anything else":      {err: broken, wantErr: broken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := Written(c.err)
			if result.RequeueAfter != c.wantAfter || !errors.Is(err, c.wantErr) {
				t.Errorf("after %v with error %v, want %v with %v", result.RequeueAfter, err, c.wantAfter, c.wantErr)
			}
		})
	}
}

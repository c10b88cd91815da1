package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	inputsKey = "inputs-"
	// maxRendering is the size of the renderings of a component, compressed, up to which they fit into a ConfigMap with the inventory:
	// the API server takes 1 MiB.
	maxRendering = 960 << 10
)

// ErrRenderingTooLarge says that a rendering does not fit into the member.
var ErrRenderingTooLarge = errors.New("rendering too large to be kept in the member")

// Rendering is what charts made of a component. It is kept beside the component's inventory, and goes with it.
type Rendering struct {
	// Inputs identify what it was made from.
	Inputs string
	// Sets are its objects, compressed, by name. A name consists of letters, digits and `-`.
	Sets map[string][]byte
}

func (r Rendering) equal(o Rendering) bool {
	return r.Inputs == o.Inputs && maps.EqualFunc(r.Sets, o.Sets, bytes.Equal)
}

// HashOf identifies the content of renderings.
func HashOf(renderings []Rendering) string {
	sum := sha256.New()
	for _, r := range renderings {
		fmt.Fprintf(sum, "%q\n", r.Inputs)
		for _, name := range slices.Sorted(maps.Keys(r.Sets)) {
			fmt.Fprintf(sum, "%q %x\n", name, sha256.Sum256(r.Sets[name]))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Renderings are those that are kept of the component, the one in force first.
func (i *Inventory) Renderings() []Rendering { return i.renderings }

// Exists is true when the member has the inventory.
func (i *Inventory) Exists() bool { return i.object != nil }

// Present is the component as the inventory has it: its objects have names and nothing else.
func (i *Inventory) Present() Component {
	c := Component{Name: i.Component}
	for _, ref := range i.References {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(ref.GroupVersionKind())
		o.SetNamespace(ref.Namespace)
		o.SetName(ref.Name)
		c.Objects = append(c.Objects, o)
	}
	return c
}

// readRenderings reads the renderings in the ConfigMap of an inventory.
func readRenderings(cm *corev1.ConfigMap) []Rendering {
	var out []Rendering
	for i := 0; ; i++ {
		inputs, ok := cm.Data[inputsKey+strconv.Itoa(i)]
		if !ok {
			return out
		}
		r := Rendering{Inputs: inputs, Sets: map[string][]byte{}}
		for key, content := range cm.BinaryData {
			if name, isOf := strings.CutPrefix(key, strconv.Itoa(i)+"."); isOf {
				r.Sets[name] = content
			}
		}
		out = append(out, r)
	}
}

// writeRenderings puts renderings into the content of an inventory's ConfigMap.
func writeRenderings(component string, renderings []Rendering, data map[string]string) (map[string][]byte, error) {
	content, size := map[string][]byte{}, 0
	for i, r := range renderings {
		data[inputsKey+strconv.Itoa(i)] = r.Inputs
		for name, set := range r.Sets {
			content[strconv.Itoa(i)+"."+name] = set
			size += len(set)
		}
	}
	if size > maxRendering {
		return nil, fmt.Errorf("%w: component %q has %d bytes, compressed, and at most %d can be kept; make the chart values smaller",
			ErrRenderingTooLarge, component, size, maxRendering)
	}
	return content, nil
}

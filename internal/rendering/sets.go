package rendering

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/apply"
)

// maxSet bounds what a set may have when it is unpacked. The largest that the charts make is a fifth of a megabyte.
const maxSet = 16 << 20

// Sets are the objects that charts make of a component, by what they are for.
type Sets map[string][]*unstructured.Unstructured

// Kept is a rendering that can be stored in a member.
type Kept struct {
	// Renderings are those to store with the component, this one first.
	Renderings []apply.Rendering
}

// Pack makes a rendering of sets. The sets may be changed afterwards.
func Pack(inputs any, sets Sets) (*Kept, error) {
	hash, err := hashOf(inputs)
	if err != nil {
		return nil, err
	}
	r := apply.Rendering{Inputs: hash, Sets: map[string][]byte{}}
	for name, objects := range sets {
		if r.Sets[name], err = pack(objects); err != nil {
			return nil, fmt.Errorf("pack set %q of a rendering: %w", name, err)
		}
	}
	return &Kept{Renderings: []apply.Rendering{r}}, nil
}

// Objects are those of a set. They are the caller's to change.
func (k *Kept) Objects(set string) ([]*unstructured.Unstructured, error) {
	packed, ok := k.Renderings[0].Sets[set]
	if !ok {
		return nil, fmt.Errorf("the rendering has no set %q", set)
	}
	objects, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack set %q of a rendering: %w", set, err)
	}
	return objects, nil
}

// hashOf identifies inputs: structs and maps that marshal with sorted keys.
func hashOf(inputs any) (string, error) {
	raw, err := json.Marshal(inputs)
	if err != nil {
		return "", fmt.Errorf("write the inputs of a rendering: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

func pack(objects []*unstructured.Unstructured) ([]byte, error) {
	contents := make([]map[string]any, 0, len(objects))
	for _, o := range objects {
		contents = append(contents, o.Object)
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(contents); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(packed []byte) ([]*unstructured.Unstructured, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxSet))
	if err != nil {
		return nil, err
	}
	var contents []map[string]any
	if err := json.Unmarshal(raw, &contents); err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(contents))
	for _, content := range contents {
		o := &unstructured.Unstructured{Object: content}
		if o.GetKind() == "" || o.GetName() == "" {
			return nil, fmt.Errorf("an object without kind or name")
		}
		objects = append(objects, o)
	}
	return objects, nil
}

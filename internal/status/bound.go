package status

import (
	"reflect"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// maxText bounds each text of a status, in bytes. Etcd takes about 1.5 MB for one object; a MeshMember has about a hundred texts of
// unknown length, and a MeshUpgrade two.
const maxText = 4096

// Bound shortens every text in a status, a pointer to a struct, that is longer than maxText. Every status passes through it before it is
// written, so that a record of many failures can always be written.
func Bound(status any) { bound(reflect.ValueOf(status)) }

func bound(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			bound(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				bound(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			bound(v.Index(i))
		}
	case reflect.String:
		if v.CanSet() && v.Len() > maxText {
			v.SetString(mesh.Shorten(v.String(), maxText))
		}
	}
}

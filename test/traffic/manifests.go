package traffic

import "embed"

//go:embed manifests/*.yaml
var manifests embed.FS

// manifest returns one of the embedded manifests. A name that does not exist is a mistake in this package.
func manifest(name string) string {
	raw, err := manifests.ReadFile("manifests/" + name + ".yaml")
	if err != nil {
		panic(err)
	}
	return string(raw)
}

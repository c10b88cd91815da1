package artifacts

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// Users of the images. Istio's is part of its contract: istio-iptables exempts
// the traffic of uid 1337 from redirection. Nothing else may run as it.
const (
	istioUser = 1337
	nobody    = 65532
	// olmUser is the one under which OLM runs pods of its images.
	olmUser = 1001
)

// baseFiles are in every image: what programs expect of any system. /tmp is
// open to all, so that an image also works as another user.
func baseFiles(uid int) []writer.File {
	return []writer.File{
		writer.SharedDir("/tmp"),
		writer.Text("/etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nlab:x:%[1]d:%[1]d:lab:/tmp:/sbin/nologin\n", uid)),
		writer.Text("/etc/group", fmt.Sprintf("root:x:0:\nlab:x:%d:\n", uid)),
		// Names resolve as in the cluster: files first, then DNS, nothing else.
		writer.Text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
	}
}

// staticImage is the recipe of an image with one static program as its entry point.
func staticImage(ref string, from Name, binary string, uid int) recipe {
	return recipe{
		ref: ref, needs: []Name{from},
		build: func(_ context.Context, s *session, out string) error {
			files := append(baseFiles(uid), writer.Program("/usr/local/bin/"+binary, filepath.Join(s.paths[from], binary)))
			return writeImage(out, ref, uid, "/usr/local/bin/"+binary, files)
		},
	}
}

// writeImage writes a one-layer image as a Docker archive.
func writeImage(out, ref string, uid int, entrypoint string, files []writer.File) error {
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return err
	}
	img, err := writer.Image{
		Arch: runtime.GOARCH,
		Config: v1.Config{
			Entrypoint: []string{entrypoint},
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			User:       fmt.Sprintf("%[1]d:%[1]d", uid),
			WorkingDir: "/",
		},
		Layers: []writer.Layer{{Files: files}},
	}.Build()
	if err != nil {
		return fmt.Errorf("assemble image %s: %w", ref, err)
	}
	return tarball.WriteToFile(out, tag, img)
}

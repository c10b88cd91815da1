# The same image as `make image`, for those who build with Docker. It downloads the Go modules of Istio for their charts.
#   docker build -t meshfleet/meshfleet:dev .
# The operator reports the version and the commit of --build-arg VERSION=1.2.3 --build-arg COMMIT="$(git rev-parse HEAD)".
FROM golang:1.26 AS build
ARG VERSION
ARG COMMIT
ARG BUILD=github.com/meshfleet/meshfleet/internal/build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go run ./hack/charts --output /out/charts
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -buildid= -X $BUILD.version=$VERSION -X $BUILD.commit=$COMMIT" -o /out/manager . \
 && mkdir --mode 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tmp /tmp
COPY --from=build /out/charts /charts
COPY --from=build /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]

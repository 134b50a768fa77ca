# syntax=docker/dockerfile:1
# The image is one static binary and the public certificate authorities, nothing else: no shell, no package manager.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD) -t usher .
#
# The program is the same, byte for byte, as that of `make release VERSION=v1.2.3` with the same Go. Without a container engine,
# `make image` writes the same image as a tar file.

ARG GO=1.27.4
FROM --platform=$BUILDPLATFORM golang:${GO}-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=unknown COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /usher ./cmd/usher

FROM scratch
ARG VERSION=unknown COMMIT=unknown
LABEL org.opencontainers.image.title="usher" \
      org.opencontainers.image.description="HTTP ingress controller for Kubernetes" \
      org.opencontainers.image.source="https://github.com/usher-ingress/usher" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$COMMIT
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usher /usher
# A numeric user, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
EXPOSE 8080 8443 10254
ENTRYPOINT ["/usher"]
CMD ["serve"]

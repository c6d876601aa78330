# The managed plugin, made without a Go tool chain on the machine:
#
#   docker build --output build/plugin .
#   scripts/plugin-install.sh build/plugin
#
# The steps are those of `make plugin`. Both images are arguments, so that
# mirrored or locally imported ones can be used.
ARG GO=golang:1.26-bookworm
ARG BASE=debian:bookworm-slim

FROM ${GO} AS build
WORKDIR /src
COPY . .
RUN make build

FROM ${BASE} AS rootfs
COPY scripts/deps.sh scripts/plugin-rootfs.sh /scripts/
RUN /scripts/deps.sh plugin
COPY --from=build /src/build/mcpnet-plugin /build/mcpnet-plugin
RUN /scripts/plugin-rootfs.sh /rootfs

FROM scratch
COPY config.json /config.json
COPY --from=rootfs /rootfs /rootfs

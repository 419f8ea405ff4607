# ArSSR with its weights; see docs/containers.md.
#
#   docker build -t arssr .                                 for processors
#   docker build -t arssr:cuda --build-arg TORCH=cuda .     for NVIDIA GPUs as well
#   docker run --rm -v "$PWD:/data" -w /data arssr upsample FLAIR.nii.gz -o FLAIR_SR.nii.gz

FROM debian:bookworm-slim AS python
ARG TORCH=cpu
COPY containers/install.sh /opt/install.sh
RUN sh /opt/install.sh python "$TORCH"

FROM python AS built
ARG TORCH=cpu
COPY . /source
RUN sh /opt/install.sh arssr " @ file:///source" /source/constraints.txt "$TORCH"

FROM python
LABEL org.opencontainers.image.title="ArSSR" \
    org.opencontainers.image.description="Super-resolution of 3D MR images at any scale" \
    org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0 AND CC-BY-NC-4.0 AND BSD-2-Clause AND ISC AND MIT"
RUN sh /opt/install.sh user
COPY --from=built /opt/arssr /opt/arssr
ENV PATH=/opt/arssr/bin:$PATH HOME=/home/arssr
USER 1000
WORKDIR /home/arssr
ENTRYPOINT ["arssr"]
